#!/usr/bin/env python3
"""A second verifier of erasure reports, written from the formats alone: RFC 8032, RFC 9162, DSSE, C2SP signed notes.

    verify_report.py REPORT --key KEY...        exit 0 final, 3 valid but not final, 1 tampered, 2 undecidable
    verify_report.py --each-line --key KEY...   reports in base64 from standard input; a line with the code for each
"""
import argparse
import base64
import functools
import hashlib
import json
import re
import sys
from datetime import datetime, timedelta, timezone

# Ed25519 (RFC 8032, 5.1), for verification only.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1:
            q = add(q, p)
        p = add(p, p)
        s >>= 1
    return q


def equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(None)
def verifies(public, message, signature):
    if len(signature) != 64:
        return False
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return equal(times(s, BASE), add(r, times(h, a)))


class Tampered(Exception):
    pass


class Undecidable(Exception):
    pass


def ensure(holds, otherwise):
    if not holds:
        raise Tampered(otherwise)


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Tampered("base64")
    ensure(base64.b64encode(data).decode() == text, "base64 in another form")
    return data


def canonical(data):
    """JSON of which every byte is fixed: no white space, no member twice, members in the order of their format."""
    try:
        text = data.decode()
        value = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise Tampered("not JSON")
    ensure(json.dumps(value, separators=(",", ":"), ensure_ascii=False) == text, "not written as it should be")
    return value


def members(value, names):
    ensure(isinstance(value, dict) and list(value) == names.split(), f"members: {names}")
    return value


class Key:
    def __init__(self, text):
        name, id_, key = text.split("+", 2)
        key = base64.b64decode(key, validate=True)
        if key[0] != 1 or len(key) != 33:
            raise ValueError("not an Ed25519 key")
        if hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] != id_:
            raise ValueError("the id of the key is wrong")
        self.name, self.id, self.public = name, id_, key[1:]


def open_envelope(envelope, keys):
    if envelope.endswith(b"\n"):
        envelope = envelope[:-1]
    envelope = members(canonical(envelope), "payloadType payload signatures")
    kind = "application/vnd.rollcall.erasure-report+json"
    ensure(envelope["payloadType"] == kind, "another type")
    ensure(isinstance(envelope["payload"], str) and isinstance(envelope["signatures"], list), "types")
    for signature in envelope["signatures"]:
        members(signature, "keyid sig")
        ensure(isinstance(signature["keyid"], str) and isinstance(signature["sig"], str), "types")
    payload = unbase64(envelope["payload"])
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    known = False
    for signature in envelope["signatures"]:
        sig = unbase64(signature["sig"])
        for key in keys:
            if signature["keyid"] == f"{key.name}+{key.id}":
                ensure(verifies(key.public, signed, sig), "the signature is wrong")
                known = True
    if not known:
        raise Undecidable("not signed by the given key")
    return payload


def checkpoint(note, keys, origin):
    ensure(isinstance(note, str) and note.endswith("\n") and "\n\n" in note, "not a note")
    text, below = note.split("\n\n", 1)
    lines = text.split("\n")
    ensure(len(lines) == 3 and lines[0] == origin and re.fullmatch("0|[1-9][0-9]*", lines[1]), "not a checkpoint")
    root = unbase64(lines[2])
    ensure(len(root) == 32, "root")
    known = False
    for line in below[:-1].split("\n"):
        match = re.fullmatch("— ([^ ]+) (.+)", line)
        ensure(match, "not a signature")
        signature = unbase64(match[2])
        for key in keys:
            if match[1] == key.name and signature[:4].hex() == key.id:
                ensure(verifies(key.public, (text + "\n").encode(), signature[4:]), "the checkpoint's signature is wrong")
                known = True
    ensure(known, "the checkpoint is not signed by the given key")
    return int(lines[1]), root


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def hashes(encoded):
    ensure(isinstance(encoded, list) and all(isinstance(item, str) for item in encoded), "a proof")
    decoded = [unbase64(item) for item in encoded]
    ensure(all(len(item) == 32 for item in decoded), "a proof")
    return decoded


def includes(size, root, index, leaf, proof):
    """RFC 9162, 2.1.3.2"""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def extends(first, first_root, second, second_root, proof):
    """RFC 9162, 2.1.4.2"""
    if first > second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == hashlib.sha256(b"").digest()
    proof = list(proof)
    if first & (first - 1) == 0:
        proof.insert(0, first_root)
    if not proof:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


def instant(text):
    """Milliseconds since 1970 of a time in the one form it is written in."""
    ensure(isinstance(text, str), "a time")
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3}|\.\d{6}|\.\d{9})?Z", text)
    ensure(match, "a time")
    fraction = (match[2] or ".0")[1:]
    ensure(match[2] is None or fraction.strip("0"), "a time in another form")
    ensure(len(fraction) < 6 or not fraction.endswith("000"), "a time in another form")
    try:
        whole = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Tampered("a time")
    return int(whole.timestamp()) * 1000 + int(int(fraction.ljust(9, "0")) / 1_000_000)


def of_millis(millis):
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=millis)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{millis % 1000:03}" if millis % 1000 else "") + "Z"


STEPS = ["requested", "begun", "relations_ended", "scrubbed", "read_models_scrubbed", "verified"]


def texts(value, *names):
    ensure(all(isinstance(value[name], str) for name in names), f"texts: {names}")


def numbers(value, *names):
    ensure(all(type(value[name]) is int and value[name] >= 0 for name in names), f"numbers: {names}")


def check(payload, keys):
    report = members(
        canonical(payload),
        "format number supersedes issued_at status final_at erasure erased retained method stores recipients"
        " verification steps log not_covered",
    )
    further = report["erasure"].get("further_subjects") if isinstance(report["erasure"], dict) else None
    about = members(
        report["erasure"],
        "id app subject scope operation legal_basis requester requested_at due_at commitment"
        + ("" if further is None else " further_subjects"),
    )
    ensure(further is None or isinstance(further, list) and further, "further subjects")
    log = members(report["log"], "origin checkpoint_before checkpoint consistency")
    ensure(report["format"] == "rollcall.erasure-report/1", "another format")
    numbers(report, "number")
    texts(report, "status")
    texts(log, "origin", "checkpoint")
    ensure(isinstance(report["supersedes"], (str, type(None))), "types")
    for name in "erased retained stores recipients steps not_covered".split():
        ensure(isinstance(report[name], list), f"list: {name}")
    ensure(report["not_covered"] and all(isinstance(text, str) for text in report["not_covered"]), "not_covered")
    for erased in report["erased"]:
        members(erased, "class fields")
        ensure(isinstance(erased["fields"], list) and all(isinstance(f, str) for f in erased["fields"]), "fields")
    for kept in report["retained"]:
        texts(members(kept, "what why until"), "what", "why", "until")
    for told in report["recipients"]:
        texts(members(told, "name acknowledged_at"), "name")
        ensure(told["acknowledged_at"] is None or instant(told["acknowledged_at"]), "types")

    size, root = checkpoint(log["checkpoint"], keys, log["origin"])
    consistency = hashes(log["consistency"])
    steps = report["steps"]
    for step in steps:
        numbers(members(step, "event position recorded_at leaf inclusion"), "position")
        texts(step, "event", "leaf")
    ensure(steps, "no step")
    ensure(all(one["position"] < next_["position"] for one, next_ in zip(steps, steps[1:])), "order")
    if log["checkpoint_before"] is None:
        ensure(not consistency, "a proof of nothing")
    else:
        before, before_root = checkpoint(log["checkpoint_before"], keys, log["origin"])
        ensure(before < steps[0]["position"], "not from before the request")
        ensure(extends(before, before_root, size, root, consistency), "the log was changed")

    method, stores, verification = None, [], None
    names = STEPS[:1] + ["linked"] * (further is not None) + STEPS[1:]
    ensure(len(steps) <= len(names), "steps")
    ensure(further is None or len(steps) > 1, "further subjects that are not recorded")
    for revision, (step, name) in enumerate(zip(steps, names), 1):
        leaf = hashlib.sha256(b"\x00" + step["leaf"].encode()).digest()
        ensure(step["position"] > 0, "position")
        ensure(includes(size, root, step["position"] - 1, leaf, hashes(step["inclusion"])), "not in the log")
        leaf = members(canonical(step["leaf"].encode()), "position stream revision id name version recorded_at core")
        data, meta = leaf["core"]["data"], leaf["core"]["meta"]
        ensure(step["event"] == leaf["name"] == "erasure." + name, "a step is missing or stands twice")
        ensure(leaf["position"] == step["position"] and leaf["version"] == 1, "leaf")
        ensure(leaf["revision"] == revision, "a step is left out")
        ensure(step["recorded_at"] == of_millis(leaf["recorded_at"]), "time of a step")
        ensure(meta["app"] == about["app"] and leaf["stream"].endswith(about["id"]), "another erasure")
        ensure((data["erasure"], data["subject"]) == (about["id"], about["subject"]), "another erasure")
        if name == "requested":
            commitment = data.get("commitment")
            told = [data[n] for n in "scope operation basis requester due_at".split()] + [commitment, step["recorded_at"]]
            said = [about[n] for n in "scope operation legal_basis requester due_at commitment requested_at".split()]
            ensure(told == said, "another request")
        elif name == "linked":
            ensure(data["further"] == further, "other further subjects")
        elif name == "scrubbed":
            method = data
            ensure([erased["class"] for erased in report["erased"]] == data["classes"], "classes")
            ensure(data["generation_before"] <= data["generation_after"], "generations")
        elif name == "read_models_scrubbed":
            stores = data["stores"]
        elif name == "verified":
            verification = {n: data[n] for n in "tried opened control_opened".split()}

    ensure(report["stores"] == stores, "stores")
    ensure(report["verification"] == verification, "verification")
    if verification:
        members(report["verification"], "tried opened control_opened")
    if method is None:
        ensure(report["method"] is None, "method")
    else:
        said = members(
            report["method"],
            "algorithm keys root_cell finality generation_before generation_after events_detached values_detached",
        )
        texts(said, "algorithm")
        for n in "keys root_cell generation_before generation_after events_detached values_detached".split():
            ensure(said[n] == method[n] and type(said[n]) is type(method[n]), f"method: {n}")

    finality = report["method"]["finality"] if method else None
    ensure(finality in (None, "A", "B", "C"), "finality")
    verified = (
        verification is not None
        and verification["opened"] == 0
        and verification["control_opened"] is True
        and all(store["values"] == 0 for store in stores)
    )
    allowed = {
        "fenced": method is None,
        "scrubbed": method is not None and verification is None,
        "pending-finality": verified and finality == "B",
        "final": verified,
        "partial": method is not None and not verified,
        "failed": method is not None and not verified,
    }
    ensure(allowed.get(report["status"], False), "status")
    ensure((report["final_at"] is not None) == (report["status"] == "pending-finality"), "final_at")
    ensure(report["final_at"] is None or instant(report["final_at"]), "final_at")
    ensure(instant(report["issued_at"]) >= instant(steps[-1]["recorded_at"]), "issued too early")
    return report["status"] == "final"


def code(envelope, keys):
    try:
        return (0, "final") if check(open_envelope(envelope, keys), keys) else (3, "valid, not final")
    except Undecidable as reason:
        return 2, reason
    except Tampered as reason:
        return 1, reason
    except (KeyError, TypeError, AttributeError, RecursionError) as reason:
        return 1, f"another form: {reason!r}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("report", nargs="?")
    parser.add_argument("--each-line", action="store_true")
    parser.add_argument("--key", action="append", required=True, help="a key, as text: what GET /log/keys answers")
    args = parser.parse_args()
    try:
        keys = [Key(line.split("\t")[0]) for text in args.key for line in text.splitlines()]
    except ValueError:
        parser.error("--key is not the text of a key; try --key \"$(cat rollcall.keys)\"")
    if args.each_line:
        for line in sys.stdin:
            number, reason = code(base64.b64decode(line), keys)
            print(number, str(reason).replace("\n", " "))
        return 0
    with open(args.report, "rb") as file:
        number, reason = code(file.read(), keys)
    print(reason)
    return number


if __name__ == "__main__":
    sys.exit(main())
