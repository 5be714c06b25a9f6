"""A shop with Django: handlers connected when the apps are ready, events inside and after transactions, async views.

Run it, in examples/web:

    python -m django migrate --settings django_shop.settings --run-syncdb --verbosity 0
    uvicorn django_shop.asgi:application
"""
