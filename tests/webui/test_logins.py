import asyncio

import pytest
from fastapi import HTTPException

from webui import logins
from webui.logins import FREE, LONGEST, Logins


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def status(known, word="wrong"):
    """What a try is answered."""
    try:
        return asyncio.run(known.check("anna", word))
    except HTTPException as error:
        return error.status_code


def test_wrong_passwords_of_an_address_are_answered_ever_later():
    known = Logins([("anna", "secret")], clock := Clock())
    assert [status(known) for _ in range(FREE + 2)] == [*[False] * FREE, 429, 429]
    waits = []
    for _ in range(9):
        start = clock.now
        while status(known) == 429:
            clock.now += 0.5
        waits.append(clock.now - start)
    assert waits == [1, 2, 4, 8, 16, 32, *[LONGEST] * 3]
    assert status(known, "secret") == 429
    token = logins._address.set("another")
    assert status(known, "secret") is True
    logins._address.reset(token)
    clock.now += LONGEST
    assert status(known, "secret") is True and status(known) is False  # it starts again


def test_nobody_logs_in_where_there_are_no_logins():
    assert not Logins() and Logins([("anna", "secret")])
    with pytest.raises(HTTPException):
        Logins([("anna", "secret")]).check_basic(type("R", (), {"headers": {}})())
