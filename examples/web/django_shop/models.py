"""The database models of the shop."""

from django.db import models


class Order(models.Model):
    """An order, the sender of its events."""

    item = models.CharField(max_length=50)
    quantity = models.PositiveIntegerField()

    class Meta:
        """The options of the model."""

        app_label = "shop"


class Note(models.Model):
    """A record of something done for an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    text = models.CharField(max_length=50)

    class Meta:
        """The options of the model."""

        app_label = "shop"
