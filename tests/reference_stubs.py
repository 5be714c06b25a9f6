"""Define the entities, services and instances that the reference's examples use. `test_reference.py` runs them."""

from types import SimpleNamespace


async def _at_once():
    pass


asyncio = SimpleNamespace(sleep=lambda seconds: _at_once())  # "simulate async work"


class Entity:
    """An object whose attributes are its keyword arguments; items of `dict` values become attributes too."""

    def __init_subclass__(cls, table=False):
        cls.stored = {}

    def __init__(self, **fields):
        self.saved = 0
        for name, value in fields.items():
            if isinstance(value, list):
                value = [SimpleNamespace(**item) if isinstance(item, dict) else item for item in value]
            setattr(self, name, value)

    def save(self):
        self.saved += 1

    @classmethod
    def get(cls, id):
        if id not in cls.stored:
            cls.stored[id] = cls(id=id)
        return cls.stored[id]


class User(Entity, table=True):
    pass


class Order(Entity, table=True):
    pass


user = User(id="u-1", username="ada", email="ada@example.com")
user_instance = user
mails = []  # (to, text)
stock = []  # (product, reduction)
processed = []


async def _send(to, text):
    mails.append((to, text))


async def _reduce_stock(product_id, quantity):
    stock.append((product_id, quantity))


email_service = SimpleNamespace(send=_send)
inventory_service = SimpleNamespace(reduce_stock=_reduce_stock)


class EmailService:
    @staticmethod
    def send(to, text):
        mails.append((to, text))


def process(item):
    return f"processed {item}"


async def async_process_order(order):
    for item in order.items:
        processed.append(item)
        yield f"update {item}"
