"""Checks that a number's history is complete: a second implementation of
docs/reference/completeness.md. Standard library only.

    python3 directory.py vectors.json
"""

import hashlib
import json
import sys


class Refused(Exception):
    """What was shown does not prove what it should."""


def check(ok, why):
    if not ok:
        raise Refused(why)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u64(n):
    return n.to_bytes(8, "big")


def varint(b, at):
    n = shift = 0
    while True:
        check(at < len(b) and shift < 70, "a number is cut off")
        n |= (b[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if b[at - 1] < 0x80:
            check(n < 1 << 64, "a number is too large")
            return n, at


def fields(message):
    """The fields of a protobuf message, by number, the last of each."""
    out, at = {}, 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 == 0:
            value, at = varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if size is None:
                check(tag & 7 == 2, "a field of an unknown type")
                size, at = varint(message, at)
            check(at + size <= len(message), "a field is cut off")
            value, at = message[at:at + size], at + size
        out[tag >> 3] = value
    return out


def statement(entry):
    """Position covered, root and token key of a DirectoryCommitted."""
    entry = fields(entry)
    fact = fields(entry.get(9, b""))
    check(75 in fact, "an entry that is no DirectoryCommitted")
    m = fields(fact[75])
    check(m.get(1) == 1, "a directory of another format")
    root, token_key = m.get(4, b""), m.get(7, b"")
    check(len(root) == 32 and len(token_key) == 32, "a root or token key of an impossible size")
    check(3 in m, "no time")
    time = fields(m[3])
    seconds = (time.get(1, 0) + (1 << 63)) % (1 << 64) - (1 << 63)
    check(-62135596800 <= seconds <= 253402300799 and time.get(2, 0) < 10 ** 9, "an impossible time")
    covers, numbers, entries = m.get(2, 0), m.get(5, 0), m.get(6, 0)
    check(numbers <= entries <= covers < entry.get(1, 0), "impossible counts")
    check((numbers == 0) == (entries == 0), "impossible counts")
    return covers, root, token_key


def key_of(number, token):
    digits = number[1:]
    check(number[:1] == "+" and 1 <= len(digits) <= 15, "no number")
    check(all(c in "0123456789" for c in digits), "no number")
    check(len(token) == 17 and token[0] == 1, "no directory token of version 1")
    return sha(b"consent.v1/directory", token, number.encode())


def only_token(token_key, number, token, path):
    """Checks that the token is the number's only one."""
    check(len(path) == 16 and all(len(h) == 32 for h in path), "a path of another length")
    bucket = int.from_bytes(sha(b"consent.v1/directory-bucket", number.encode())[:2], "big")
    node = sha(b"\x06", token)
    for depth, beside in enumerate(path):
        node = sha(b"\x07", beside, node) if bucket >> depth & 1 else sha(b"\x07", node, beside)
    check(node == token_key, "the token is not the number's")


def bit(key, depth):
    return key[depth // 8] >> (7 - depth % 8) & 1


def look_up(root, key, proof):
    """The record that a tree of this root holds for the key: count, last, head."""
    check(len(proof) >= 4 and proof[0] == 1, "no proof of format 1")
    end, n, rest = proof[1], int.from_bytes(proof[2:4], "big"), proof[4:]
    check(n <= 256 and len(rest) >= 32 * n, "a path of an impossible length")
    siblings, rest = [rest[32 * i:32 * i + 32] for i in range(n)], rest[32 * n:]
    record = (0, 0, bytes(32))
    if end == 0:
        check(len(rest) == 0, "bytes behind the proof")
        node = bytes(32)
    elif end == 1:
        check(len(rest) == 64, "a proof cut off or too long")
        other = rest[:32]
        check(other != key, "the key is shown as another")
        check(all(bit(other, d) == bit(key, d) for d in range(n)), "another key that cannot stand there")
        node = sha(b"\x02", other, rest[32:])
    else:
        check(end == 2 and len(rest) == 48, "a proof cut off, too long, or of another kind")
        record = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:16], "big"), rest[16:]
        check(1 <= record[0] <= record[1], "an impossible record")
        node = sha(b"\x02", key, sha(b"\x05", rest))
    for depth in reversed(range(n)):
        pair = (siblings[depth], node) if bit(key, depth) else (node, siblings[depth])
        node = sha(b"\x03", *pair)
    check(node == root, "the proof does not lead to the directory's root")
    return record


def verify(directory, number, token, proof, events, path=None):
    """How many of the events are shown to be all up to the position covered, and
    that position. events: pairs of position and leaf, in order. path: hashes from the
    token to the token key; None if it is not shown that the token is the only one."""
    covers, root, token_key = statement(directory)
    if path is not None:
        only_token(token_key, number, token, path)
    want = look_up(root, key_of(number, token), proof)
    last, got = 0, (0, 0, bytes(32))
    for position, leaf in events:
        check(position > last, "events out of order")
        last = position
        if position <= covers:
            got = got[0] + 1, position, sha(b"\x04", got[2], u64(position), leaf)
    check(got == want, "events were left out, added or changed")
    return got[0], covers


def main(path):
    wrong = 0
    with open(path) as f:
        vectors = json.load(f)
    for v in vectors:
        h = bytes.fromhex
        events = [(e["position"], h(e["leaf"])) for e in v["events"]]
        try:
            complete, covers = verify(h(v["directory"]), v["number"], h(v["token"]), h(v["proof"]), events, [h(x) for x in v["tokenPath"]] if "tokenPath" in v else None)
            got = {"complete": complete, "covers": covers}
        except Refused as why:
            got = {"refused": True}
            print(f"{v['name']}: refused, {why}", file=sys.stderr)
        if got != v["want"]:
            wrong += 1
            print(f"{v['name']}: {got}, want {v['want']}")
    print(f"{len(vectors)} vectors, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
