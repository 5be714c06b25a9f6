"""Bridges to brokers that encrypt, and let in only whom they know: with certificates that are made here."""

import asyncio
import importlib
import logging
import ssl

import pytest

trustme = pytest.importorskip("trustme")
# Of sockets that the clients leave to the garbage collector, where TLS is not agreed on.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SECRET = "s3cret"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """A server's certificate and its key, and the authority's certificate."""
    folder = tmp_path_factory.mktemp("tls")
    made = authority.issue_cert("127.0.0.1")
    contents = {"cert": made.cert_chain_pems[0], "key": made.private_key_pem, "ca": authority.cert_pem}
    for name, pem in contents.items():
        pem.write_to_path(folder / name)
    return {name: str(folder / name) for name in contents}


@pytest.fixture
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def nats_tls(files, start):
    server = start("nats", "--tls", "--tlscert", files["cert"], "--tlskey", files["key"])
    server.address = server.address.replace("nats:", "tls:")
    return server


@pytest.fixture(scope="module")
def nats_token(start):
    return start("nats", "--auth", SECRET)


@pytest.fixture(scope="module")
def nats_user(start):
    return start("nats", "--user", "ada", "--pass", SECRET)


@pytest.fixture(scope="module")
def redis_tls(files, start):
    places = ["--tls-cert-file", files["cert"], "--tls-key-file", files["key"], "--tls-ca-cert-file", files["ca"]]
    options = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no", "--requirepass", SECRET]
    server = start("redis", *places, *options)
    server.address = server.address.replace("redis:", "rediss:")
    return server


@pytest.fixture(scope="module")
def amqp_tls(files, start):
    """With TLS alone, and for who knows its password."""
    names = {"cacertfile": files["ca"], "certfile": files["cert"], "keyfile": files["key"]}
    paths = ", ".join(f'{{{name}, "{path}"}}' for name, path in names.items())
    listeners = '{tcp_listeners, []}, {ssl_listeners, [{"127.0.0.1", PORT}]}'
    user = f'{{default_user, <<"ada">>}}, {{default_pass, <<"{SECRET}">>}}'
    server = start("amqp", f"[{{rabbit, [{listeners}, {{ssl_options, [{paths}]}}, {user}]}}].")
    server.address = server.address.replace("amqp:", "amqps:")
    return server


async def carries(api, address, **options):
    """Whether an event gets from one to the other."""
    bridge = importlib.import_module("cyevents_bridge")
    got, spaces = [], [api.Namespace() for _ in range(2)]
    for ns in spaces:
        ns.event("x").connect(got.append, weak=False)
    options = {"delivery": "at_least_once", "connect_timeout": 20, **options}
    one, two = (bridge.Bridge(ns, address, ["x"], **options) for ns in spaces)
    async with one, two:
        await spaces[0].emit_async("x", "ada")
        await asyncio.wait_for(arrival(got), 20)
    return got == ["ada", "ada"]


async def arrival(got):
    while len(got) < 2:
        await asyncio.sleep(0.005)


@pytest.fixture
def refused(api, run, caplog, collect):
    """Sees that nobody gets in, and what is said of it, at once if that is to be final; that is returned."""

    def check(address, is_final=None, **options):
        ns = api.Namespace()
        options["connect_timeout"] = 1 if is_final is False else 20
        bridge = importlib.import_module("cyevents_bridge").Bridge(ns, address, ["x"], **options)

        async def main():
            async with bridge:
                pytest.fail("it got in")

        with caplog.at_level(logging.DEBUG), pytest.raises(ConnectionError) as caught:
            run(main())
        for text in (str(caught.value), caplog.text):
            assert SECRET not in text
            assert "wr0ng" not in text
        if is_final is not None:
            assert isinstance(caught.value.__context__, TimeoutError) is not is_final
        return str(caught.value)

    yield check
    collect()


def test_nats_with_tls(api, run, nats_tls, trusting):
    assert run(carries(api, nats_tls.address, tls=trusting))


def test_nats_with_a_certificate_that_nobody_vouches_for(nats_tls, refused):
    for address in (nats_tls.address, nats_tls.address.replace("tls:", "nats:")):  # whose server asks for TLS by itself
        assert "CERTIFICATE_VERIFY_FAILED" in refused(address, is_final=True)
    assert "CERTIFICATE_VERIFY_FAILED" in refused(nats_tls.address, is_final=True, tls=ssl.create_default_context())


def test_nats_with_a_certificate_of_another_host(nats_tls, refused, trusting):
    said = refused(nats_tls.address, tls=trusting, tls_hostname="example.org")
    assert "CERTIFICATE_VERIFY_FAILED" in said or "Hostname mismatch" in said


def test_no_secret_is_sent_unencrypted_where_tls_is_wanted(nats_token, refused, trusting):
    for address, options in (
        (nats_token.address.replace("nats:", "tls:"), {"tls": trusting}),
        (nats_token.address.replace("nats:", "tls:"), {}),
    ):
        assert "the address requires TLS, but the server does not offer it" in refused(address, token=SECRET, **options)


def test_nats_with_a_token(api, run, nats_token, refused):
    assert run(carries(api, nats_token.address, token=SECRET))
    assert run(carries(api, nats_token.address.replace("//", f"//{SECRET}@")))
    for address, options in (
        (nats_token.address, {}),
        (nats_token.address, {"token": "wr0ng"}),
        (nats_token.address.replace("//", "//wr0ng@"), {}),
    ):
        assert "Authorization Violation" in refused(address, **options)


def test_nats_with_user_and_password(api, run, nats_user, refused):
    assert run(carries(api, nats_user.address, user="ada", password=SECRET))
    assert run(carries(api, nats_user.address.replace("//", f"//ada:{SECRET}@")))
    for address, options in (
        (nats_user.address, {"user": "ada", "password": "wr0ng"}),
        (nats_user.address.replace("//", "//ada:wr0ng@"), {}),
    ):
        assert "Authorization Violation" in refused(address, **options)


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_redis_with_tls(api, run, redis_tls, files, delivery):
    options = {"ssl_ca_certs": files["ca"], "delivery": delivery}
    assert run(carries(api, redis_tls.address, password=SECRET, **options))
    assert run(carries(api, redis_tls.address.replace("//", f"//:{SECRET}@"), **options))


def test_redis_with_tls_and_what_is_wrong(redis_tls, files, refused):
    assert "certificate verify failed" in refused(redis_tls.address, is_final=True, password=SECRET)
    for options in ({}, {"password": "wr0ng"}):
        assert "AuthenticationError" in refused(redis_tls.address, ssl_ca_certs=files["ca"], **options)


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_rabbitmq_with_tls(api, run, amqp_tls, trusting, files, delivery):
    known = {"user": "ada", "password": SECRET, "delivery": delivery}
    assert run(carries(api, amqp_tls.address, tls=trusting, **known))
    address = amqp_tls.address.replace("//", f"//ada:{SECRET}@")
    assert run(carries(api, address, cafile=files["ca"], delivery=delivery))


def test_rabbitmq_with_tls_and_what_is_wrong(amqp_tls, trusting, refused):
    assert "CERTIFICATE_VERIFY_FAILED" in refused(amqp_tls.address, is_final=True, user="ada", password=SECRET)
    for options in ({}, {"user": "ada", "password": "wr0ng"}):
        assert "ProbableAuthenticationError" in refused(amqp_tls.address, tls=trusting, **options)
