from __future__ import annotations

import json
import logging

import pytest

from app.logs import JsonFormatter

ALWAYS = 10**6


def post(client, **body):
    return client.post("/api/entries", json=body)


def test_a_new_entry_is_created_and_a_repeated_key_returns_it(client):
    answer = post(client, text="hello", key="k1")
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/api/entries/k1"
    assert answer.json == {
        "id": 1,
        "key": "k1",
        "text": "hello",
        "created_at": "2026-11-24T05:00:01.000Z",
        "written_by": "server-1",
        "served_by": "server-2",
    }
    again = post(client, text="hello", key="k1")
    assert again.status_code == 200
    assert again.json == answer.json


def test_one_entry_is_read_by_its_key(client, database):
    database.add("k1", "hello")
    answer = client.get("/api/entries/k1")
    assert answer.status_code == 200
    assert (answer.json["text"], answer.json["read_from"]) == ("hello", "server-1")
    missing = client.get("/api/entries/nope")
    assert missing.status_code == 404
    assert missing.json["error"]["code"] == "not_found"


def test_entries_are_listed_in_order(client, database):
    for number in range(1, 6):
        database.add(f"k{number}", "x")
    answer = client.get("/api/entries?after=2&limit=2").json
    assert [entry["id"] for entry in answer["entries"]] == [3, 4]
    assert (answer["read_from"], answer["served_by"]) == ("server-1", "server-2")
    # The next requests are read from the other servers.
    assert [client.get("/api/entries").json["read_from"] for _ in range(3)] == ["server-2", "server-3", "server-1"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"text": "x"},
        {"key": "k"},
        {"text": "", "key": "k"},
        {"text": "x" * 501, "key": "k"},
        {"text": "x", "key": "a b"},
        {"text": 1, "key": "k"},
        {"text": "x", "key": "k", "id": 7},
        {"text": "\ud800", "key": "k"},
    ],
)
def test_bad_entries_are_refused(client, database, body):
    answer = client.post("/api/entries", json=body)
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "invalid_input"
    assert answer.json["error"]["message"]
    assert not database.rows


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=-1", "after=", f"after={2**63}"])
def test_bad_queries_are_refused(client, query):
    assert client.get(f"/api/entries?{query}").status_code == 400


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/api/nope", 404),
        ("DELETE", "/api/entries", 405),
        ("GET", "/api/entries/a%20b", 400),
    ],
)
def test_other_errors_are_json_too(client, method, path, status):
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert set(answer.json["error"]) == {"code", "message"}


def test_only_json_is_taken(client):
    answer = client.post("/api/entries", data={"text": "x", "key": "k"})
    assert answer.status_code == 415
    assert client.post("/api/entries", data="{", content_type="application/json").status_code == 400


def test_a_large_body_is_refused(client):
    assert post(client, text="x" * 20_000, key="k").status_code == 413


def test_without_a_writer_the_answer_is_an_honest_503(client, database):
    database.add("k1", "hello")
    client.get("/api/entries")
    database.refuse_connections = ALWAYS
    answer = post(client, text="x", key="k2")
    assert answer.status_code == 503
    assert answer.json["error"]["code"] == "database_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/api/entries").status_code == 200  # the reader's connection is alive


def test_an_unknown_outcome_has_its_own_code_and_repeating_settles_it(client, database):
    post(client, text="x", key="warm")
    database.break_commits = ["lost"]
    database.refuse_connections = ALWAYS
    answer = post(client, text="x", key="k")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "outcome_unknown")
    assert "Retry-After" in answer.headers
    database.refuse_connections = 0
    again = post(client, text="x", key="k")
    assert again.status_code == 200
    assert [row[1] for row in database.rows] == ["warm", "k"]


def test_health_is_honest(client, database):
    healthy = client.get("/healthz")
    assert healthy.status_code == 200
    assert healthy.json == {"status": "ok", "read_from": "server-1", "served_by": "server-2", "stack": "dev"}
    for connection in database.opened:
        connection.hung_up = True
    database.refuse_connections = ALWAYS
    ill = client.get("/healthz")
    assert ill.status_code == 503
    assert ill.json["error"]["code"] == "database_unavailable"


def test_a_defect_is_answered_without_details_and_logged(client, database, caplog):
    database.readers = ()  # the fake divides by zero
    answer = client.get("/api/entries")
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal")
    assert "ZeroDivision" not in answer.text
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("path", ["/", "/api/entries", "/api/nope", "/healthz", "/nope", "/static/guestbook.css"])
def test_every_response_has_the_security_headers(client, path):
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Served-By"] == "server-2"
    assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")


def test_requests_are_logged_as_json_without_what_was_posted(client, caplog):
    caplog.set_level(logging.INFO, "tripod.access")
    client.post(
        "/api/entries?token=querysecret",
        json={"text": "a private matter", "key": "k"},
        headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Request-ID": "abc-1"},
    )
    client.get("/healthz")
    (record,) = caplog.records
    text = JsonFormatter().format(record)
    line = json.loads(text)
    assert line["level"] == "info"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/entries", 201)
    assert (line["client"], line["request_id"]) == ("198.51.100.7", "abc-1")
    assert line["duration_ms"] >= 0
    assert "private" not in text
    assert "secret" not in text
