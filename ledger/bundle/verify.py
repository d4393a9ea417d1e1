#!/usr/bin/env python3
"""Checks an export bundle, or a receipt, of a consent ledger. Standard library only.

    python3 verify.py EXPORT.zip ledger.keys [policy] [--earlier FILE]
    python3 verify.py ENTRY.receipt ledger.keys

ledger.keys holds the ledger's public keys as verifier lines, from somebody you
trust: not from where the export came from. A policy (C2SP tlog-policy) says which
witnesses must have cosigned the checkpoint. --earlier names a checkpoint, or an
export, that you have from before: nothing of it may have changed. Exit code 0: each line says what is
proven and what is not. 5: something is not what it should be. 2: usage.

It is a second implementation of docs/reference/bundle.md, beside the program's own.
"""

import base64
import hashlib
import json
import pathlib
import re
import struct
import sys
import zlib
from datetime import datetime

FILE_MAX = 64 << 20
NUMBER_MAX = 1 << 60
NOTE_MAX = 1 << 16
ENTRY_MAX = 65535
CLASSES = ["number", "identity", "origin", "words", "signature"]


class Refused(Exception):
    """Something is not what it should be."""


def check(ok, why):
    if not ok:
        raise Refused(why)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def base(text):
    """Base64 in its one encoding."""
    check(isinstance(text, str), "base64 that is none")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("base64 that is none") from None
    check(base64.b64encode(raw).decode() == text, "base64 that is not in its one encoding")
    return raw


def hashes(items):
    """Hashes of 32 bytes in base64."""
    check(isinstance(items, list), "hashes that are none")
    out = [base(h) for h in items]
    check(all(len(h) == 32 for h in out), "a hash of another length")
    return out


def number(text):
    check(re.fullmatch(r"0|[1-9][0-9]{0,18}", text) and int(text) <= NUMBER_MAX, "a number that is not in its one encoding")
    return int(text)


# --- Ed25519 (RFC 8032), verification only ---
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def ed_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def ed_mul(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1:
            q = ed_add(q, p)
        p, s = ed_add(p, p), s >> 1
    return q


def ed_point(raw):
    """The point of an encoding; None if it is none."""
    n = int.from_bytes(raw, "little")
    y, sign = n & (1 << 255) - 1, n >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if y >= P or (x * x - square) % P or x == 0 and sign:
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = ed_point(BASE_Y.to_bytes(32, "little"))


def ed_verify(key, message, signature):
    a = ed_point(key)
    s = int.from_bytes(signature[32:], "little")
    if a is None or len(signature) != 64 or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus = (P - a[0], a[1], a[2], P - a[3])
    x, y, z, _ = ed_add(ed_mul(s, BASE), ed_mul(k, minus))
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# --- keys and signed notes (C2SP signed-note) ---
def parse_keys(text):
    """Keys by name: (id, key)."""
    keys = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        part = line.split("+", 2)
        check(len(part) == 3 and re.fullmatch("[0-9a-f]{8}", part[1]), "a line of the keys that is none")
        raw = base(part[2])
        check(len(raw) == 33 and raw[0] == 1, "a key that is not Ed25519")
        check(sha(part[0].encode(), b"\n", raw)[:4].hex() == part[1], "a key with another id")
        check(part[0] not in keys, "two keys of one name")
        keys[part[0]] = bytes.fromhex(part[1]), raw[1:]
    return keys


def only_key(keys, what, is_it):
    names = [n for n in keys if is_it(n)]
    check(len(names) == 1, f"there must be one key for {what} among those given, and there are {len(names)}")
    return names[0]


def open_note(raw, keys, name):
    """The text of a note that the key of this name signed."""
    check(len(raw) <= NOTE_MAX, "a note that is too long")
    try:
        note = raw.decode()
    except UnicodeDecodeError:
        raise Refused("a note that is not UTF-8") from None
    check(not re.search("[\x00-\x09\x0b-\x1f]", note), "a note with control characters")
    text, _, signatures = note.rpartition("\n\n")
    check(text and signatures.endswith("\n"), "a note without signatures")
    text += "\n"
    lines, found = signatures[:-1].split("\n"), False
    check(len(lines) <= 100, "a note with too many signatures")
    for line in lines:
        match = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
        check(match, "a signature line that is none")
        signature = base(match[2])
        check(len(signature) > 4, "a signature line that is none")
        if not found and match[1] == name and signature[:4] == keys[name][0]:
            check(ed_verify(keys[name][1], text.encode(), signature[4:]), "a wrong signature")
            found = True
    check(found, "not signed by the key given; get the ledger's key from somebody you trust")
    return text


def parse_policy(text):
    """What a C2SP tlog-policy demands: a witness (name, id, key), or a group (how many, of which)."""
    parts, quorum = {}, None
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words or words[0] == "log":
            continue
        if words[0] == "quorum":
            check(len(words) == 2 and words[1] in parts, "a policy without a quorum of witnesses")
            quorum = parts[words[1]]
            continue
        check(len(words) >= 3 and words[1] not in parts, "a line of the policy that is none")
        if words[0] == "witness":
            key = words[2].split("+", 2)
            check(len(words) == 4 and len(key) == 3 and re.fullmatch("[0-9a-fA-F]{8}", key[1]), "a witness that is none")
            raw = base(key[2])
            check(len(raw) == 33 and raw[0] in (1, 4), "a witness's key that is not Ed25519")
            parts[words[1]] = key[0], sha(key[0].encode(), b"\n\x04", raw[1:])[:4], raw[1:]
        else:
            check(words[0] == "group" and all(w in parts for w in words[3:]), "a line of the policy that is none")
            n = {"any": "1", "all": str(len(words) - 3)}.get(words[2], words[2])
            check(re.fullmatch("[0-9]{1,3}", n) and 0 < int(n) <= len(words) - 3, "a group that demands no witness, or too many")
            parts[words[1]] = int(n), [parts[w] for w in words[3:]]
    check(quorum is not None, "a policy that demands no witness")
    return quorum


def cosigned(raw, part, names):
    """Whether a checkpoint is cosigned as a part of a policy demands; by whom goes into names."""
    if len(part) == 2:
        return sum([cosigned(raw, p, names) for p in part[1]]) >= part[0]
    name, identity, key = part
    text, _, signatures = raw.decode().rpartition("\n\n")
    for line in signatures[:-1].split("\n"):
        match = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
        signature = base(match[2])
        if match[1] == name and signature[:4] == identity:
            signed = f"cosignature/v1\ntime {int.from_bytes(signature[4:12], 'big')}\n{text}\n"
            if len(signature) != 76 or not ed_verify(key, signed.encode(), signature[12:]):
                return False
            names.add(name)
            return True
    return False


def open_checkpoint(raw, keys):
    """Origin, size and root of a checkpoint that the log key signed."""
    name = only_key(keys, "checkpoints", lambda n: not n.endswith(("/receipts", "/exports")))
    lines = open_note(raw, keys, name).split("\n")
    check(len(lines) == 4 and lines[3] == "", "a checkpoint with other than three lines")
    root = base(lines[2])
    check(len(root) == 32, "a root of another length")
    check(lines[0] == name, "a checkpoint of another ledger")
    return lines[0], number(lines[1]), root


# --- Merkle tree (RFC 9162) ---
def leaf_hash(entry):
    return sha(b"\x00", entry)


def climb(fn, sn, path, node):
    """Climbs from a node at fn, of which sn is the last: the hashes of what lies up to it, and of all; RFC 9162."""
    old = new = node
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            old, new = sha(b"\x01", p, old), sha(b"\x01", p, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = sha(b"\x01", new, p)
        fn, sn = fn >> 1, sn >> 1
    return (old, new) if sn == 0 else None


def included(leaf, index, size, path, root):
    """RFC 9162 section 2.1.3.2."""
    up = climb(index, size - 1, path, leaf) if 0 <= index < size else None
    return up is not None and up[1] == root


def consistent(old_root, old_size, root, size, path):
    """RFC 9162 section 2.1.4.2."""
    if old_size == size or not 0 < old_size < size:
        return old_size == size > 0 and not path and old_root == root
    fn, sn, path = old_size - 1, size - 1, path if old_size & old_size - 1 else [old_root] + path
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return bool(path) and climb(fn, sn, path[1:], path[0]) == (old_root, root)


# --- protobuf, as little as needed ---
def varint(raw, at):
    n = shift = 0
    while True:
        check(at < len(raw) and shift < 70, "an entry that is no protobuf")
        byte = raw[at]
        n |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            check(n < 1 << 64, "an entry that is no protobuf")
            return n, at


def fields(raw):
    """Number, value of a varint (else 0), bytes of a length (else empty), in order."""
    at = 0
    while at < len(raw):
        tag, at = varint(raw, at)
        n, kind, value, data = tag >> 3, tag & 7, 0, b""
        check(1 <= n <= 0x7FFFFFFF, "an entry that is no protobuf")
        if kind == 0:
            value, at = varint(raw, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                check(kind == 2, "a field of an unknown form")
                size, at = varint(raw, at)
            check(size <= len(raw) - at, "a field cut off")
            data, at = raw[at:at + size] if kind == 2 else b"", at + size
        yield n, value, data


def message(raw, lists=()):
    """Fields by number. One that is there twice is refused, unless it is a list."""
    out = {n: [] for n in lists}
    for n, value, data in fields(raw):
        if n in lists:
            out[n].append(data)
        else:
            check(n not in out, "a field that is there twice")
            out[n] = value, data
    return out


def only(raw, want):
    """The bytes of one field; None if it is not there."""
    found = [data for n, _, data in fields(raw) if n == want]
    check(len(found) <= 1, "a field that is there twice")
    return found[0] if found else None


class Entry:
    """What proofs speak of in an entry."""

    def __init__(self, raw):
        m = message(raw, lists=(10,))
        self.recorded = tuple(message(m.get(2, (0, b""))[1]).get(n, (0, b""))[0] for n in (1, 2))
        self.position, self.person, self.seq = m.get(1, (0, b""))[0], m.get(6, (0, b""))[1], m.get(7, (0, b""))[0]
        self.prev, self.fact = m.get(8, (0, b""))[1], m.get(9, (0, b""))[1]
        self.parts, self.leaf = [], leaf_hash(raw)
        for part in m[10]:
            p = message(part)
            self.parts.append((p.get(1, (0, b""))[0], p.get(2, (0, b""))[1], p.get(4, (0, b""))[1]))


def commitment(cls, field, salt, value):
    return sha(b"consent.v1/commitment", bytes([cls]), struct.pack(">H", len(field)), field, salt, value)


# --- the zip, in its one form ---
NAME = re.compile(r"(?!(?:.*/)?\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


class Zip:
    """Files by name; every byte outside them is what it must be."""

    def __init__(self, file):
        self.file = file
        size = file.seek(0, 2)
        check(22 <= size < 1 << 32, "it is no zip of a bundle")
        end = self.at(size - 22, 22)
        count, length, start = struct.unpack("<HII", end[10:20])
        form = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, length, start, 0)
        check(end == form and start + length == size - 22, "it is no zip of a bundle, or was cut off")
        check(count < 1 << 16 and length <= count * 246, "it is no zip of a bundle")
        self.files, last, folded, listed = {}, "", set(), self.at(start, length)
        for _ in range(count):
            check(len(listed) >= 46, "a directory cut off")
            crc, size, _, n = struct.unpack("<IIIH", listed[16:30])
            offset, = struct.unpack("<I", listed[42:46])
            check(len(listed) >= 46 + n, "a directory cut off")
            raw, listed, rest = listed[46:46 + n], listed[:46], listed[46 + n:]
            common = struct.pack("<HHHHHIIIHH", 10, 0, 0, 0, 0x21, crc, size, size, n, 0)
            form = struct.pack("<IH", 0x02014B50, 10) + common + bytes(10) + struct.pack("<I", offset)
            check(listed == form and size <= FILE_MAX, "a directory that is not in its one form")
            name = raw.decode("latin-1")
            check(n <= 200 and NAME.fullmatch(name), "a file whose name is not one of a bundle")
            check(name > last and name.lower() not in folded, "names out of order, or twice")
            folded.add(name.lower())
            self.files[name] = offset, struct.pack("<I", 0x04034B50) + common + raw, size, crc
            last, listed = name, rest
        check(not listed, "bytes behind the directory")
        at = 0
        for offset, head, size, _ in sorted(self.files.values()):
            check(offset == at and self.at(at, len(head)) == head, "files that overlap, or a head that is not in its one form")
            at += len(head) + size
            check(at <= start, "files that overlap")
        check(at == start, "bytes between the files and the directory")

    def at(self, offset, size):
        self.file.seek(offset)
        return self.file.read(size)

    def read(self, name):
        check(name in self.files, f"there is no {name}")
        offset, head, size, crc = self.files[name]
        data = self.at(offset + len(head), size)
        check(len(data) == size and zlib.crc32(data) == crc, f"{name} was changed")
        return data


# --- completeness: docs/reference/completeness.md ---
def directory_statement(entry):
    """The position covered, the root and the token key of a DirectoryCommitted."""
    raw = only(entry.fact, 75)
    check(raw is not None, "an entry that is no DirectoryCommitted")
    m = message(raw)
    form, covers, numbers, entries = (m.get(n, (0, b""))[0] for n in (1, 2, 5, 6))
    root, token_key = (m.get(n, (0, b""))[1] for n in (4, 7))
    check(form == 1 and 3 in m and len(root) == 32 and len(token_key) == 32, "a directory of another form")
    check(numbers <= entries <= covers < entry.position and (numbers == 0) == (entries == 0), "a directory with impossible counts")
    return covers, root, token_key


def directory_record(root, key, proof):
    """What a directory of this root holds for the key: count, last position, head."""
    check(len(proof) >= 4 and proof[0] == 1, "no proof of format 1")
    end, n, rest = proof[1], int.from_bytes(proof[2:4], "big"), proof[4:]
    check(n <= 256 and len(rest) >= 32 * n, "a path of an impossible length")
    siblings, rest = [rest[32 * i:32 * i + 32] for i in range(n)], rest[32 * n:]
    bits = [key[d // 8] >> (7 - d % 8) & 1 for d in range(n)]
    record, node = (0, 0, bytes(32)), bytes(32)
    if end == 1:
        check(len(rest) == 64 and rest[:32] != key, "another key that cannot stand there")
        check(all(rest[d // 8] >> (7 - d % 8) & 1 == bits[d] for d in range(n)), "another key that cannot stand there")
        node = sha(b"\x02", rest)
    elif end == 2:
        check(len(rest) == 48, "a proof cut off or too long")
        record = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:16], "big"), rest[16:]
        check(1 <= record[0] <= record[1], "an impossible record")
        node = sha(b"\x02", key, sha(b"\x05", rest))
    else:
        check(end == 0 and not rest, "a proof of another kind")
    for d in reversed(range(n)):
        node = sha(b"\x03", siblings[d], node) if bits[d] else sha(b"\x03", node, siblings[d])
    check(node == root, "the proof does not lead to the directory's root")
    return record


def only_token(key, e164, token, path):
    """Checks that a token is the only one of a number, by the token key."""
    check(len(path) == 16, "a path from a token of another length")
    at, node = int.from_bytes(sha(b"consent.v1/directory-bucket", e164.encode())[:2], "big"), sha(b"\x06", token)
    for beside in path:
        node = sha(b"\x07", beside, node) if at & 1 else sha(b"\x07", node, beside)
        at >>= 1
    check(node == key, "the token is not the number's: it does not lead to the token key")


def history(entry, e164, token, path, proof, events):
    """Checks that the events are all that the directory knew; its position, how many it knew, how many are later."""
    covers, root, token_key = directory_statement(entry)
    check(re.fullmatch(r"\+[0-9]{1,15}", e164) and token[0] == 1, "no number, or no directory token of version 1")
    if path is not None:
        only_token(token_key, e164, token, path)
    want = directory_record(root, sha(b"consent.v1/directory", token, e164.encode()), proof)
    got, later = (0, 0, bytes(32)), 0
    for position, leaf in events:
        if position > covers:
            later += 1
        else:
            got = got[0] + 1, position, sha(b"\x04", got[2], struct.pack(">Q", position), leaf)
    check(got == want, f"{got[0]} events are shown up to position {covers}; the directory has {want[0]}, or they are others")
    return covers, got[0], later


# --- a bundle ---
def instant(text):
    """Seconds and nanoseconds of RFC 3339 in UTC, as Go writes it."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{0,8}[1-9]))?Z", text)
    try:
        check(match, "a time that is none")
        at = datetime.strptime(match[1] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
        return int(at.timestamp()), int((match[2] or "0").ljust(9, "0"))
    except ValueError:
        raise Refused("a time that is none") from None


def lines(raw):
    check(not raw or raw.endswith(b"\n"), "a last line that does not end")
    return raw.split(b"\n")[:-1]


def parse(line, required, optional=()):
    """A line of JSON in its one encoding, with these keys in this order."""
    try:
        doc = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise Refused("a line that is not the JSON it should be") from None
    check(json.dumps(doc, separators=(",", ":"), ensure_ascii=False).encode() == line, "a line that is not in its one encoding")
    shape(doc, required, optional)
    return doc


def shape(doc, required, optional=()):
    check(isinstance(doc, dict), "a line that is not the JSON it should be")
    keys = [k for k in required if k not in optional or k in doc]
    check(list(doc) == keys, "a line with other keys")


def whole(n, least=0):
    check(type(n) is int and least <= n <= NUMBER_MAX, "a number that is none")
    return n


def text(s, pattern):
    check(isinstance(s, str) and re.fullmatch(pattern, s), "a word that is none")
    return s


class Bundle:
    def __init__(self, file, keys, policy, earlier):
        self.zip, self.keys, self.policy, self.earlier, self.claims = Zip(file), keys, policy, earlier, []
        self.chains, self.cited, self.opened, self.withheld, self.erased = {}, {}, 0, 0, 0
        self.events, self.last = 0, 0
        for name, step in [("signed", self.signed), ("included", self.included), ("back-linked", self.back_linked),
                           ("disclosed", self.disclosed), ("packs", self.packs), ("wordings", self.wordings), ("complete", self.complete),
                           ("consistent", self.consistent), ("anchored", self.anchored)]:
            try:
                step()
            except Refused as why:
                raise Refused(f"{name}: {why}") from None

    def claim(self, name, proven, said):
        self.claims.append((name, proven, said))

    def signed(self):
        name = only_key(self.keys, "exports", lambda n: n.endswith("/exports"))
        self.manifest(open_note(self.zip.read("manifest"), self.keys, name).split("\n"))
        check(self.origin + "/exports" == name, "a bundle of another ledger")
        listed = self.zip.read("SHA256SUMS")
        check(sha(listed) == self.sums_sum, "SHA256SUMS is not the one signed")
        self.sums, last = {}, ""
        for line in lines(listed):
            match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line.decode("latin-1"))
            check(match and match[2] > last and match[2] not in ("manifest", "SHA256SUMS"), "SHA256SUMS has a line that is none")
            last = match[2]
            self.sums[last] = bytes.fromhex(match[1])
        check(set(self.sums) | {"manifest", "SHA256SUMS"} == set(self.zip.files), "SHA256SUMS does not list the files that are here")
        for file in self.sums:
            self.read(file)
        self.claim("signed", True, f"by {name}, the key you gave: all {len(self.sums) + 2} files are as they were signed")

    def manifest(self, text_lines):
        words = ["produced", "subject", "period", "case", "purpose", "recipient", "disclosed", "checkpoint", "through", "entries", "sums"]
        check(len(text_lines) == 14 and text_lines[0] == "consent-ledger/bundle@v1" and text_lines[13] == "", "it is no manifest of a bundle")
        self.origin, value = text_lines[1], {}
        for word, line in zip(words, text_lines[2:]):
            check(line.startswith(word + " "), "a manifest that is not in its one encoding")
            value[word] = line[len(word) + 1:]
        instant(value["produced"])
        kind, _, who = value["subject"].partition(" ")
        check(kind in ("numbers", "seller"), "a manifest about nobody")
        self.numbers_signed = number(who) if kind == "numbers" else 0
        check((kind == "numbers") == (self.numbers_signed > 0), "a manifest about nobody")
        period = value["period"].split(" ")
        check(len(period) == 2, "a period that is none")
        for end in period:
            if end != "-":
                instant(end)
        given = [] if value["disclosed"] == "none" else value["disclosed"].split(",")
        check([c for c in CLASSES if c in given] == given, "classes that are none")
        self.classes, self.classes_said = [CLASSES.index(c) + 1 for c in given], value["disclosed"]
        size, _, root = value["checkpoint"].partition(" ")
        self.size, self.root = number(size), base(root)
        self.through, self.entries = number(value["through"]), number(value["entries"])
        check(len(self.root) == 32 and re.fullmatch("[0-9a-f]{64}", value["sums"]), "a manifest that cannot be read")
        self.sums_sum = bytes.fromhex(value["sums"])

    def read(self, name):
        check(name in self.sums, f"there is no {name}")
        data = self.zip.read(name)
        check(sha(data) == self.sums[name], f"{name} is not the one signed")
        return data

    def included(self):
        check(open_checkpoint(self.read("checkpoint"), self.keys) == (self.origin, self.size, self.root) and self.through <= self.size,
              "the checkpoint is another than the manifest says")
        self.read_numbers()
        parts = [n for n in self.sums if n.startswith("entries/") and n.endswith(".jsonl")]
        check(sorted(parts) == [f"entries/{i + 1:06d}.jsonl" for i in range(len(parts))], "parts of the entries are missing")
        for part in sorted(parts):
            for line in lines(self.read(part)):
                self.entry(line)
        check(self.events == self.entries, f"{self.events} entries are here, {self.entries} were signed")
        for line in lines(self.read("cited.jsonl")):
            _, position, n, entry, opened = self.record(line)
            check(position not in self.cited and n == 0 and not opened and not entry.person, f"position {position} is cited twice, or is about somebody")
            self.cited[position] = entry
        self.claim("included", True, f"{self.events} entries, and {len(self.cited)} that they cite, are in the ledger of {self.size} entries that its checkpoint speaks of")
        self.claim("unchanged", True, "the bytes of each entry are those that the checkpoint fixes, at its position")

    def read_numbers(self):
        self.numbers, self.about = [], []
        for line in lines(self.read("numbers.jsonl")):
            n = parse(line, ["number", "e164", "entries", "persons"], ["e164"])
            check(whole(n["number"], 1) == len(self.numbers) + 1 and isinstance(n["persons"], list), "numbers.jsonl is not in order")
            whole(n["entries"])
            text(n.get("e164", "+1"), r"\+[0-9]+")
            persons = []
            for p in n["persons"]:
                shape(p, ["person", "entries", "head"])
                persons.append((base(p["person"]), whole(p["entries"], 1), base(p["head"])))
                check(persons[-1][0] and len(persons[-1][2]) == 32, "numbers.jsonl has a line that is none")
            self.numbers.append((n.get("e164", ""), n["entries"], persons))
            self.about.append([])
        check(len(self.numbers) == self.numbers_signed, f"{len(self.numbers)} numbers are here, {self.numbers_signed} were signed")

    def record(self, line):
        r = parse(line, ["position", "number", "entry", "path", "opened"], ["number", "opened"])
        position, n, raw = whole(r["position"], 1), whole(r.get("number", 1), 1) if "number" in r else 0, base(r["entry"])
        check(0 < len(raw) <= ENTRY_MAX, "an entry of an impossible size")
        path = hashes(r["path"])
        entry, opened = Entry(raw), []
        check(entry.position == position <= self.size, f"an entry that says another position than {position}")
        check(included(entry.leaf, position - 1, self.size, path, self.root), f"these bytes are not the ledger's entry {position}")
        if "opened" in r:
            check(isinstance(r["opened"], list) and r["opened"], "a line that is not in its one encoding")
            for o in r["opened"]:
                shape(o, ["field", "salt", "value"])
                opened.append((text(o["field"], "[0-9.]+").encode(), base(o["salt"]), base(o["value"])))
        return r, position, n, entry, opened

    def entry(self, line):
        _, position, n, entry, opened = self.record(line)
        check(self.last < position <= self.through and n <= len(self.numbers) and (n == 0) == (not self.numbers),
              f"position {position} is out of order, or of a number that is not named")
        self.last, self.events = position, self.events + 1
        if n:
            self.about[n - 1].append((position, entry.leaf))
            self.link(position, n, entry)
        self.withheld += len(entry.parts) - len(opened)
        check(len({field for field, _, _ in opened}) == len(opened), f"disclosed: position {position} opens a part twice")
        for field, salt, value in opened:
            parts = [p for p in entry.parts if p[1] == field]
            check(len(parts) == 1 and len(salt) == 32, f"disclosed: position {position} opens a part that it does not have")
            cls, _, sealed = parts[0]
            check(cls in self.classes, f"disclosed: position {position} opens a part of a class that the manifest does not name")
            check(commitment(cls, field, salt, value) == sealed, f"disclosed: a part of position {position} is not what was sealed")
            check(field != b"1" or not n or value == self.numbers[n - 1][0].encode(), f"disclosed: position {position} is about another number")
            self.opened += 1

    def link(self, position, n, entry):
        if not entry.person:
            check(only(entry.fact, 61) is not None and entry.seq == 0, f"position {position} is about no person")
            self.erased += 1
            return
        of, seq, leaf = self.chains.get(entry.person, (n, 0, b""))
        first = entry.seq == 1 and not entry.prev
        check(of == n and entry.seq == seq + 1 and (first or entry.prev == leaf and leaf), f"back-links: before position {position} an entry of its person is missing")
        self.chains[entry.person] = n, entry.seq, entry.leaf

    def back_linked(self):
        if not self.numbers:
            return self.claim("back-linked", False, "not claimed: the entries of a seller are a selection from the history of each person")
        persons = 0
        for i, (_, entries, holders) in enumerate(self.numbers):
            check(len(self.about[i]) == entries, f"{len(self.about[i])} entries are about number {i + 1}, {entries} were signed")
            for person, count, head in holders:
                check(self.chains.get(person) == (i + 1, count, head), f"the last entries of a person of number {i + 1} are missing")
                persons += 1
        check(persons == len(self.chains), f"entries are about {len(self.chains)} persons, {persons} were signed")
        erased = f"; {self.erased} erasures are among them" if self.erased else ""
        self.claim("back-linked", True, f"the entries of each of {persons} persons of {len(self.numbers)} numbers link back to the first without a hole, and end with the last one signed{erased}")

    def disclosed(self):
        self.claim("disclosed", True, f"{self.opened} parts ({self.classes_said}) are what was sealed when they were recorded; {self.withheld} parts are withheld")

    def published(self, kind):
        """The facts of a kind among the cited entries."""
        facts = [only(entry.fact, kind) for entry in self.cited.values()]
        return [f for f in facts if f is not None]

    def files(self, folder, ending, published, what):
        """The files of a folder, each named by its hash, which the ledger published."""
        found = [n for n in self.sums if n.startswith(folder)]
        for name in found:
            check(name == folder + self.sums[name].hex() + ending and self.sums[name] in published, f"{name} is no {what} that the ledger published")
        return found

    def packs(self):
        found = self.files("packs/", ".yaml", {only(f, 5) for f in self.published(52)}, "rule pack")
        self.claim("packs", True, f"{len(found)} rule packs are the files that the ledger published")

    def wordings(self):
        published, named = {}, set()
        for fact in self.published(51):
            word, digest = only(fact, 1) or b"", only(fact, 4) or b""
            check(re.fullmatch(rb"[a-z0-9_-]+", word) and len(digest) == 32 and word not in named, "a wording is published twice, or as none")
            named.add(word)
            published.setdefault(digest, []).append(word.decode())
        found = self.files("wordings/", ".txt", published, "wording")
        words = ", ".join(sorted(w for name in found for w in published[self.sums[name]]))
        self.claim("wordings", True, f"{len(found)} texts are those that the ledger published as: {words}" if found else "no text of a wording is here")

    def consistent(self):
        held = None if self.earlier is None else open_checkpoint(self.earlier, self.keys)[1:]
        shown, known = 0, {self.size: self.root}
        if "consistency.txt" in self.sums:
            head, found, note = self.read("consistency.txt").partition(b"\n\n")
            header, *path = head.decode("latin-1").split("\n")
            check(found and header == "consent-ledger/consistency@v1" and len(path) < 128, "consistency.txt is no proof of consistency")
            _, shown, root = open_checkpoint(note, self.keys)
            check(consistent(root, shown, self.root, self.size, hashes(path)), f"the checkpoint of {shown} entries is no beginning of this one: the ledger signed two histories")
            known[shown] = root
        check(not held or known.get(held[0], held[1]) == held[1], "the ledger signed two histories: the checkpoint you hold, and another of its size")
        if held and held[0] == self.size:
            said = "the checkpoint you hold is the one of this bundle"
        elif held and held[0] == shown:
            said = f"of the {shown} entries that the checkpoint you hold speaks of, none was changed, moved or left out since"
        elif held:
            said = f"nothing leads here from the checkpoint of {held[0]} entries that you hold; ask for an export since it"
        elif shown:
            said = f"the checkpoint of {shown} entries in consistency.txt is a beginning of this one; compare it with the one you hold"
        else:
            said = "no earlier checkpoint was compared, so another history may have been signed before"
        self.claim("consistent", held[0] in known if held else shown > 0, said)

    def complete(self):
        by = covers = shown = later = last = 0
        bound = True
        for line in lines(self.read("completeness.jsonl")):
            c = parse(line, ["number", "directory", "token", "proof", "tokenPath"], ["tokenPath"])
            n, at = whole(c["number"], 1), whole(c["directory"], 1)
            token, proof, path = base(c["token"]), base(c["proof"]), hashes(c["tokenPath"]) if "tokenPath" in c else None
            check(len(token) == 17, "a directory token of another length")
            check(last < n <= len(self.numbers) and at in self.cited and by in (0, at), "completeness.jsonl names a number or a directory that is not here")
            covers, known, more = history(self.cited[at], self.numbers[n - 1][0], token, path, proof, self.about[n - 1])
            by, last, bound = at, n, bound and path is not None
            if path is not None or known:  # under a made-up token there is nothing
                shown, later = shown + 1, later + more
        if not by:
            self.claim("complete", False, "completeness: unproven; no directory of all numbers is in this bundle, so entries after the last one, or persons, may have been left out")
        elif shown < len(self.numbers):
            self.claim("complete", False, f"completeness: unproven for {len(self.numbers) - shown} of {len(self.numbers)} numbers; about the others nothing was left out up to position {covers}, by the directory at position {by}")
        else:
            place = "in which each has one place" if bound else "if each has the one place there that its key gives it"
            self.claim("complete", True, f"nothing about {shown} numbers was left out up to position {covers}, by the directory at position {by}, {place}; {later} entries came later")

    def anchored(self):
        if self.policy is None:
            self.claim("anchored", False, "operator only: no witness and no timestamp was asked about the checkpoint, so others may have been shown another history")
        else:
            names = set()
            check(cosigned(self.read("checkpoint"), self.policy, names),
                  "the checkpoint is not cosigned by as many witnesses as the policy demands: it is the operator's word alone")
            self.claim("anchored", True, f"by as many witnesses as your policy demands: {', '.join(sorted(names))}; each saw this as the one history")
        self.claim("report", False, "the report, the tables and the decisions are signed and not proven: what is proven are the entries")


# --- a receipt ---
def receipt(raw, keys):
    """Claims of a receipt: docs/reference/proof.md."""
    name = only_key(keys, "receipts", lambda n: n.endswith("/receipts"))
    head, found, commit = raw.partition(b"\n\n")
    text_lines = head.decode("latin-1").split("\n")
    check(found and len(text_lines) >= 3 and text_lines[0] == "consent-ledger/receipt@v1", "it is no receipt")
    what, _, value = text_lines[1].partition(" ")
    shown = base(value)
    check(what == "leaf" and len(shown) == 32 or what == "entry" and 0 < len(shown) <= ENTRY_MAX, "a receipt of an impossible size")
    leaf = shown if what == "leaf" else leaf_hash(shown)
    check(text_lines[2].startswith("position "), "a receipt without a position")
    position, path = number(text_lines[2][9:]), hashes(text_lines[3:])
    signed = open_note(commit, keys, name).split("\n")
    check(len(signed) == 8 and signed[7] == "" and signed[0] == "consent-ledger/commit@v1", "it is no signed commit")
    check(signed[1] + "/receipts" == name, "a receipt of another ledger")
    first, count, root = number(signed[2]), number(signed[3]), base(signed[6])
    check(instant(signed[4]) and signed[5] in ("fsync", "lazy", "unverified"), "a durability that is none")
    check(first <= position < first + count, f"position {position} is not among those signed")
    check(included(leaf, position - first, count, path, root), f"these bytes are not what was signed for position {position}")
    if what == "entry":
        check((Entry(shown).position, Entry(shown).recorded) == (position, instant(signed[4])), "the entry says another position or time")
    return [("signed", True, f"by {name}, the key you gave"), ("recorded", True, f"position {position}, at {signed[4]}, durability {signed[5]}"),
            ("unchanged", True, f"leaf hash {leaf.hex()}")]


def verify(file, keys_text, policy_text=None, earlier=None):
    """The claims of a bundle or receipt, from an open file; Refused if one does not hold.

    earlier is an open file with a checkpoint that the reader holds, or a bundle with one."""
    keys = parse_keys(keys_text)
    file.seek(0)
    if file.read(22) == b"consent-ledger/receipt":
        file.seek(0)
        return receipt(file.read(1 << 18), keys)
    held = None if earlier is None else earlier.read(NOTE_MAX + 1)
    if held is not None and held[:2] == b"PK":
        held = Zip(earlier).read("checkpoint")
    return Bundle(file, keys, None if policy_text is None else parse_policy(policy_text), held).claims


def main(args):
    earlier = None
    if "--earlier" in args[:-1]:
        at = args.index("--earlier")
        earlier, args = args[at + 1], args[:at] + args[at + 2:]
    if len(args) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        texts = [pathlib.Path(name).read_text(encoding="utf-8") for name in args[1:]]
        with open(args[0], "rb") as f, open(earlier or args[0], "rb") as held:
            claims = verify(f, texts[0], texts[1] if texts[1:] else None, held if earlier else None)
    except Refused as why:
        print(f"verify.py: REFUSED: {why}", file=sys.stderr)
        return 5
    except OSError as why:
        sys.exit(f"verify.py: {why}")
    for name, _, said in claims:
        print(f"{name:<12}{said}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
