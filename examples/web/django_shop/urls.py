"""The URLs of the shop."""

from django.urls import path

from . import views

urlpatterns = [
    path("place", views.place),
    path("place-async", views.place_async),
]
