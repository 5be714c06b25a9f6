"""What is in the database."""

from django.db import models


class Order(models.Model):
    """An order, the sender of its events."""

    item = models.CharField(max_length=50)
    quantity = models.PositiveIntegerField()

    class Meta:
        """Where it belongs."""

        app_label = "shop"


class Note(models.Model):
    """What has been done for an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    text = models.CharField(max_length=50)

    class Meta:
        """Where it belongs."""

        app_label = "shop"
