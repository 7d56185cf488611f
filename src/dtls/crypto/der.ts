// Reads keys in DER: SubjectPublicKeyInfo (RFC 5280 section 4.1) and PKCS#8 (RFC 5958), of the kinds that DTLS uses
// here. Strict: lengths in their shortest form, nothing unknown, no trailing bytes.

import { concatBytes, equalBytes, fromHex } from "../../base/bytes.ts";
import { ByteReader, DecodeError } from "../../base/byte_reader.ts";

/** Kinds of keys that sign. */
export type KeyKind = "secp256r1" | "secp384r1" | "ed25519" | "rsa";

/** A key that was read from its DER form. */
export interface DerKey {
  /** Its kind, from the algorithm identifier. */
  readonly kind: KeyKind;
  /**
   * Public: the point (0x04, X, Y), the 32 bytes of Ed25519, or RSAPublicKey in DER.
   * Private: the scalar, the 32 bytes of Ed25519's seed, or RSAPrivateKey in DER. A view of what was read.
   */
  readonly key: Uint8Array;
}

/** A private key that was read from PKCS#8. */
export interface DerPrivateKey extends DerKey {
  /** The public key that stands beside the private one, where one does: of EC keys the point, of Ed25519 32 bytes. */
  readonly publicKey: Uint8Array | undefined;
}

const Tag = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  /** [0] and [1] of ECPrivateKey, EXPLICIT. */
  explicit0: 0xa0,
  explicit1: 0xa1,
  /** [1] of OneAsymmetricKey: an IMPLICIT BIT STRING. */
  implicit1: 0x81,
} as const;

// AlgorithmIdentifiers, whole: RFC 5480 section 2.1.1, RFC 8410 section 3, RFC 3279 section 2.3.1.
const ALGORITHMS: readonly (readonly [KeyKind, Uint8Array])[] = [
  ["secp256r1", fromHex("301306072a8648ce3d020106082a8648ce3d030107")],
  ["secp384r1", fromHex("301006072a8648ce3d020106052b81040022")],
  ["ed25519", fromHex("300506032b6570")],
  ["rsa", fromHex("300d06092a864886f70d0101010500")],
];

/** Bytes of a public key and of a private one, by kind. */
const KEY_BYTES = {
  secp256r1: { publicBytes: 65, privateBytes: 32 },
  secp384r1: { publicBytes: 97, privateBytes: 48 },
  ed25519: { publicBytes: 32, privateBytes: 32 },
} as const;

/** The contents of the next element, which has the tag given. */
function element(reader: ByteReader, tag: number): Uint8Array {
  const found = reader.u8();
  if (found !== tag) throw new DecodeError(`DER tag ${found} where ${tag} is due`);
  // X.690 section 10.1: "The definite form of length encoding shall be used, encoded in the minimum number of octets."
  const first = reader.u8();
  if (first < 0x80) return reader.bytes(first);
  if (first === 0x81) {
    const lengthBytes = reader.u8();
    if (lengthBytes < 0x80) throw new DecodeError("DER length not in its shortest form");
    return reader.bytes(lengthBytes);
  }
  if (first !== 0x82) throw new DecodeError("DER length beyond what a key has");
  const lengthBytes = reader.u16();
  if (lengthBytes < 0x100) throw new DecodeError("DER length not in its shortest form");
  return reader.bytes(lengthBytes);
}

/** Whether the next element has a tag. */
function isNext(bytes: Uint8Array, reader: ByteReader, tag: number): boolean {
  return reader.remaining > 0 && bytes[reader.offset] === tag;
}

/** Reads one element and what encloses it, which must be all there is. */
function only(bytes: Uint8Array, tag: number): Uint8Array {
  const reader = new ByteReader(bytes);
  const contents = element(reader, tag);
  reader.expectEnd();
  return contents;
}

function algorithm(bytes: Uint8Array, reader: ByteReader): KeyKind {
  const start = reader.offset;
  element(reader, Tag.sequence);
  const identifier = bytes.subarray(start, reader.offset);
  for (const [kind, known] of ALGORITHMS) if (equalBytes(identifier, known)) return kind;
  throw new DecodeError("a key of an unknown algorithm");
}

/** The bytes of a BIT STRING, which must be whole bytes. */
function wholeBytes(bitString: Uint8Array): Uint8Array {
  if (bitString[0] !== 0) throw new DecodeError("a BIT STRING that is not whole bytes");
  return bitString.subarray(1);
}

function checkPublicKey(kind: KeyKind, key: Uint8Array): Uint8Array {
  if (kind === "rsa") return key;
  if (key.length !== KEY_BYTES[kind].publicBytes) throw new DecodeError("a public key's length");
  // RFC 8422 section 5.4.1: "This specification supports only the uncompressed format for these curves."
  if (kind !== "ed25519" && key[0] !== 0x04) throw new DecodeError("a compressed point");
  return key;
}

/** Reads a SubjectPublicKeyInfo. Throws {@linkcode DecodeError} for everything that is not exactly a known one. */
export function readPublicKey(spki: Uint8Array): DerKey {
  const contents = only(spki, Tag.sequence);
  const reader = new ByteReader(contents);
  const kind = algorithm(contents, reader);
  const key = wholeBytes(element(reader, Tag.bitString));
  reader.expectEnd();
  return { kind, key: checkPublicKey(kind, key) };
}

/** The SubjectPublicKeyInfo of a public key in the form of {@linkcode DerKey}, other than RSA. */
export function writePublicKey(
  kind: "secp256r1" | "secp384r1" | "ed25519",
  key: Uint8Array,
): Uint8Array {
  const identifier = ALGORITHMS.find(([known]) => known === kind)![1];
  const contentBytes = identifier.length + 3 + key.length;
  return concatBytes(
    Uint8Array.of(Tag.sequence, contentBytes),
    identifier,
    Uint8Array.of(Tag.bitString, key.length + 1, 0),
    key,
  );
}

/** Reads a private key in PKCS#8. Throws {@linkcode DecodeError} for everything that is not exactly a known one. */
export function readPrivateKey(pkcs8: Uint8Array): DerPrivateKey {
  const contents = only(pkcs8, Tag.sequence);
  const reader = new ByteReader(contents);
  const version = element(reader, Tag.integer);
  // RFC 5958 section 2: "Version ::= INTEGER { v1(0), v2(1) }", v2 where a public key stands beside the private one.
  if (version.length !== 1 || version[0]! > 1) throw new DecodeError("a PKCS#8 version");
  const kind = algorithm(contents, reader);
  const octets = element(reader, Tag.octetString);
  if (isNext(contents, reader, Tag.explicit0)) element(reader, Tag.explicit0); // attributes, which say nothing here
  let publicKey: Uint8Array | undefined;
  if (version[0] === 1 && isNext(contents, reader, Tag.implicit1)) {
    publicKey = checkPublicKey(kind, wholeBytes(element(reader, Tag.implicit1)));
  }
  reader.expectEnd();
  if (kind === "rsa") return { kind, key: octets, publicKey };
  if (kind !== "ed25519") return { kind, ...readEcPrivateKey(kind, octets, publicKey) };
  // RFC 8410 section 7: "CurvePrivateKey ::= OCTET STRING", inside the octets of PKCS#8.
  const seed = only(octets, Tag.octetString);
  if (seed.length !== KEY_BYTES[kind].privateBytes) throw new DecodeError("a private key's length");
  return { kind, key: seed, publicKey };
}

/** RFC 5915 section 3: ECPrivateKey ::= SEQUENCE { version, privateKey, parameters [0], publicKey [1] }. */
function readEcPrivateKey(
  kind: "secp256r1" | "secp384r1",
  bytes: Uint8Array,
  outerPublicKey: Uint8Array | undefined,
): { key: Uint8Array; publicKey: Uint8Array | undefined } {
  const contents = only(bytes, Tag.sequence);
  const reader = new ByteReader(contents);
  if (!equalBytes(element(reader, Tag.integer), Uint8Array.of(1))) {
    throw new DecodeError("an ECPrivateKey version");
  }
  const key = element(reader, Tag.octetString);
  if (key.length !== KEY_BYTES[kind].privateBytes) throw new DecodeError("a private key's length");
  if (isNext(contents, reader, Tag.explicit0)) {
    const curve = element(reader, Tag.explicit0);
    const identifier = ALGORITHMS.find(([known]) => known === kind)![1];
    // The curve's object identifier ends the algorithm identifier.
    if (!equalBytes(curve, identifier.subarray(identifier.length - curve.length))) {
      throw new DecodeError("an ECPrivateKey of another curve than its algorithm's");
    }
    only(curve, Tag.objectIdentifier);
  }
  let publicKey = outerPublicKey;
  if (isNext(contents, reader, Tag.explicit1)) {
    const bitString = only(element(reader, Tag.explicit1), Tag.bitString);
    publicKey = checkPublicKey(kind, wholeBytes(bitString));
  }
  reader.expectEnd();
  return { key, publicKey };
}
