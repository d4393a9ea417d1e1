# What verify.py and verify_receipt.py share: signatures, notes, trees, entries. The program
# puts it in the place of their line that imports it, so that each is one file.
import base64
import hashlib
import re
import struct
from datetime import datetime

NUMBER_MAX = 1 << 60
NOTE_MAX = 1 << 16
ENTRY_MAX = 65535


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
    parts, quorum, keys, members = {}, None, set(), set()
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words or words[0] == "log":
            continue
        if words[0] == "quorum":
            check(quorum is None and len(words) == 2 and words[1] in parts, "a policy without a quorum of witnesses, or with several")
            quorum = parts[words[1]]
            continue
        check(len(words) >= 3 and words[1] not in parts, "a line of the policy that is none")
        if words[0] == "witness":
            key = words[2].split("+", 2)
            check(len(words) == 4 and len(key) == 3 and re.fullmatch("[0-9a-fA-F]{8}", key[1]), "a witness that is none")
            raw = base(key[2])
            check(len(raw) == 33 and raw[0] in (1, 4), "a witness's key that is not Ed25519")
            check(raw[1:] not in keys, "a witness's key that is there twice")
            keys.add(raw[1:])
            parts[words[1]] = key[0], sha(key[0].encode(), b"\n\x04", raw[1:])[:4], raw[1:]
        else:
            check(words[0] == "group" and all(w in parts for w in words[3:]), "a line of the policy that is none")
            n = {"any": "1", "all": str(len(words) - 3)}.get(words[2], words[2])
            check(re.fullmatch("[0-9]{1,3}", n) and 0 < int(n) <= len(words) - 3, "a group that demands no witness, or too many")
            for w in words[3:]:  # each counts in one way only
                check(w not in members, "a member of a group that is one already")
                members.add(w)
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


def instant(text):
    """Seconds and nanoseconds of RFC 3339 in UTC, as Go writes it."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{0,8}[1-9]))?Z", text)
    try:
        check(match, "a time that is none")
        at = datetime.strptime(match[1] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
        return int(at.timestamp()), int((match[2] or "0").ljust(9, "0"))
    except ValueError:
        raise Refused("a time that is none") from None
