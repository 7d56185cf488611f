// Certificates and revocation lists of any form, wrong ones included: what no honest issuer would make.

import {
  constants,
  createHash,
  generateKeyPairSync,
  type KeyObject,
  sign as signWith,
} from "node:crypto";
import { concatBytes, utf8Bytes } from "../../../src/base/bytes.ts";

/** 2026-01-01, the epoch of these tests. */
export const EPOCH = Date.UTC(2026, 0, 1);
export const DAY_MS = 86_400_000;

/** One DER element. */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  const length: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) {
    length.unshift(rest % 256);
  }
  const head = content.length < 128
    ? [tag, content.length]
    : [tag, 0x80 | length.length, ...length];
  return concatBytes(Uint8Array.from(head), content);
}

export const sequence = (...parts: Uint8Array[]): Uint8Array => tlv(0x30, ...parts);
export const octetString = (content: Uint8Array): Uint8Array => tlv(0x04, content);
export const bitString = (content: Uint8Array, unusedBits = 0): Uint8Array =>
  tlv(0x03, Uint8Array.of(unusedBits), content);
export const boolean = (value: boolean): Uint8Array => tlv(0x01, Uint8Array.of(value ? 0xff : 0));
export const NULL = tlv(0x05);

export function integer(value: number | bigint, tag = 0x02): Uint8Array {
  const octets: number[] = [];
  let rest = BigInt(value);
  do {
    octets.unshift(Number(rest & 0xffn));
    rest >>= 8n;
  } while (rest > 0n);
  if (octets[0]! >= 0x80) octets.unshift(0);
  return tlv(tag, Uint8Array.from(octets));
}

export function oid(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split(".").map(BigInt);
  const octets: number[] = [];
  for (const arc of [first! * 40n + second!, ...rest]) {
    const group = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) group.unshift(Number(left & 0x7fn) | 0x80);
    octets.push(...group);
  }
  return tlv(0x06, Uint8Array.from(octets));
}

export function time(at: number): Uint8Array {
  const digits = new Date(at).toISOString().replace(/[-:T]|\.\d+/g, "");
  return Number(digits.slice(0, 4)) < 2050
    ? tlv(0x17, utf8Bytes(digits.slice(2)))
    : tlv(0x18, utf8Bytes(digits));
}

const NAME_TYPES: Record<string, string> = {
  CN: "2.5.4.3",
  O: "2.5.4.10",
  C: "2.5.4.6",
  E: "1.2.840.113549.1.9.1",
};

/** A Name of attributes like `CN=leaf`, root first, `/` between; strings of the type given. */
export function name(text: string, stringTag = 0x0c): Uint8Array {
  const rdns = text === "" ? [] : text.split("/").map((attribute) => {
    const at = attribute.indexOf("=");
    const type = attribute.slice(0, at);
    const tag = type === "E" ? 0x16 : stringTag;
    return tlv(
      0x31,
      sequence(oid(NAME_TYPES[type]!), tlv(tag, utf8Bytes(attribute.slice(at + 1)))),
    );
  });
  return sequence(...rdns);
}

export type KeyKind = "p256" | "p384" | "p521" | "ed25519" | "rsa" | "rsa1024";

export interface TestKey {
  readonly kind: KeyKind;
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
  readonly identifier: Uint8Array;
}

const keys = new Map<string, TestKey>();

/** A key pair, made once for each kind and label. */
export function testKey(kind: KeyKind, label = ""): TestKey {
  const cached = keys.get(`${kind} ${label}`);
  if (cached !== undefined) return cached;
  const pair = generatePair(kind);
  const spki = new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }));
  const identifier = new Uint8Array(createHash("sha1").update(spki).digest());
  const key: TestKey = { kind, privateKey: pair.privateKey, spki, identifier };
  keys.set(`${kind} ${label}`, key);
  return key;
}

function generatePair(kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (kind) {
    case "p256":
      return generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    case "p384":
      return generateKeyPairSync("ec", { namedCurve: "secp384r1" });
    case "p521":
      return generateKeyPairSync("ec", { namedCurve: "secp521r1" });
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "rsa":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    default:
      return generateKeyPairSync("rsa", { modulusLength: 1024 });
  }
}

export type SignatureKind = "default" | "sha1" | "sha384" | "pss";

const HASH_IDS: Record<string, string> = {
  sha256: "2.16.840.1.101.3.4.2.1",
};

function algorithmOf(key: TestKey, kind: SignatureKind): { identifier: Uint8Array; hash: string } {
  const hash = kind === "sha1" || kind === "sha384"
    ? kind
    : key.kind === "p384"
    ? "sha384"
    : key.kind === "p521"
    ? "sha512"
    : "sha256";
  if (key.kind === "ed25519") return { identifier: sequence(oid("1.3.101.112")), hash };
  if (key.kind.startsWith("rsa")) {
    if (kind === "pss") return { identifier: pssIdentifier(), hash };
    const id = { sha1: 5, sha256: 11, sha384: 12, sha512: 13 }[hash];
    return { identifier: sequence(oid(`1.2.840.113549.1.1.${id}`), NULL), hash };
  }
  const id = { sha1: "1", sha256: "3.2", sha384: "3.3", sha512: "3.4" }[hash];
  return { identifier: sequence(oid(`1.2.840.10045.4.${id}`)), hash };
}

function pssIdentifier(): Uint8Array {
  const sha256 = sequence(oid(HASH_IDS["sha256"]!), NULL);
  return sequence(
    oid("1.2.840.113549.1.1.10"),
    sequence(
      tlv(0xa0, sha256),
      tlv(0xa1, sequence(oid("1.2.840.113549.1.1.8"), sha256)),
      tlv(0xa2, integer(32)),
    ),
  );
}

function signOctets(octets: Uint8Array, key: TestKey, kind: SignatureKind): Uint8Array {
  const { hash } = algorithmOf(key, kind);
  if (key.kind === "ed25519") return new Uint8Array(signWith(null, octets, key.privateKey));
  const padding = kind === "pss"
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    : {};
  return new Uint8Array(signWith(hash, octets, { key: key.privateKey, ...padding }));
}

function signed(content: Uint8Array, key: TestKey, kind: SignatureKind, damage: boolean) {
  const signature = signOctets(content, key, kind);
  if (damage) signature[signature.length - 1]! ^= 1;
  return sequence(content, algorithmOf(key, kind).identifier, bitString(signature));
}

export function extension(id: string, value: Uint8Array, isCritical = false): Uint8Array {
  return sequence(oid(id), ...(isCritical ? [boolean(true)] : []), octetString(value));
}

/** basicConstraints, critical. */
export function authority(pathLength?: number): Uint8Array {
  const limit = pathLength === undefined ? [] : [integer(pathLength)];
  return extension("2.5.29.19", sequence(boolean(true), ...limit), true);
}

const USAGE_BITS = ["digitalSignature", "", "keyEncipherment", "", "", "keyCertSign", "cRLSign"];

/** keyUsage, critical. */
export function keyUsage(...usages: string[]): Uint8Array {
  const bits = usages.reduce((sum, usage) => sum | (0x80 >> USAGE_BITS.indexOf(usage)), 0);
  const unused = 31 - Math.clz32(bits & -bits);
  return extension("2.5.29.15", bitString(Uint8Array.of(bits), unused), true);
}

const PURPOSES: Record<string, string> = {
  any: "2.5.29.37.0",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  codeSigning: "1.3.6.1.5.5.7.3.3",
};

export function extendedKeyUsage(...purposes: string[]): Uint8Array {
  return extension("2.5.29.37", sequence(...purposes.map((purpose) => oid(PURPOSES[purpose]!))));
}

/** A GeneralName like `dns:localhost`, `ip:127.0.0.1`, `ip:10.0.0.0/255.0.0.0`, `email:a@b`, `uri:…`, `dir:CN=x`. */
export function generalName(text: string): Uint8Array {
  const at = text.indexOf(":");
  const value = text.slice(at + 1);
  switch (text.slice(0, at)) {
    case "email":
      return tlv(0x81, utf8Bytes(value));
    case "dns":
      return tlv(0x82, utf8Bytes(value));
    case "uri":
      return tlv(0x86, utf8Bytes(value));
    case "ip":
      return tlv(0x87, Uint8Array.from(value.split(/[./]/).map(Number)));
    case "ip6":
      return tlv(0x87, Uint8Array.fromHex(value));
    case "dir":
      return tlv(0xa4, name(value));
    default: // otherName
      return tlv(0xa0, oid("1.2.3.4"), tlv(0xa0, tlv(0x0c, utf8Bytes(value))));
  }
}

export function altNames(...names: string[]): Uint8Array {
  return extension("2.5.29.17", sequence(...names.map(generalName)));
}

/** nameConstraints, critical; each text as {@linkcode generalName}'s, ` min=1` behind it for a minimum. */
export function nameConstraints(lists: { permitted?: string[]; excluded?: string[] }): Uint8Array {
  const list = (tag: number, bases: string[] | undefined) =>
    bases === undefined ? [] : [tlv(
      tag,
      ...bases.map((base) => {
        const [text, minimum] = base.split(" min=");
        const bounds = minimum === undefined ? [] : [integer(Number(minimum), 0x80)];
        return sequence(generalName(text!), ...bounds);
      }),
    )];
  return extension(
    "2.5.29.30",
    sequence(...list(0xa0, lists.permitted), ...list(0xa1, lists.excluded)),
    true,
  );
}

export interface CertificateOptions {
  readonly subject: string;
  readonly key: TestKey;
  /** Left out for a self-signed certificate. */
  readonly issuer?: TestCertificate;
  readonly issuerName?: Uint8Array;
  readonly signer?: TestKey;
  readonly serial?: number | bigint;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly extensions?: readonly Uint8Array[];
  /** Subject and authority key identifiers; true by default. */
  readonly identifiers?: boolean;
  readonly version?: 1 | 3;
  readonly signature?: SignatureKind;
  readonly damageSignature?: boolean;
  readonly stringTag?: number;
  readonly spki?: Uint8Array;
  /** The AlgorithmIdentifier inside the signed octets, where it differs from the one outside. */
  readonly innerAlgorithm?: Uint8Array;
  /** Extensions in a version that has none. */
  readonly misplacedExtensions?: boolean;
}

export interface TestCertificate {
  readonly der: Uint8Array;
  readonly subject: Uint8Array;
  readonly key: TestKey;
  readonly serial: number | bigint;
}

let nextSerial = 1000;

/** Makes a certificate; valid from ten days before {@linkcode EPOCH} to a hundred after. */
export function certificate(options: CertificateOptions): TestCertificate {
  const { key, issuer, version = 3, signature = "default" } = options;
  const signer = options.signer ?? issuer?.key ?? key;
  const subject = name(options.subject, options.stringTag);
  const serial = options.serial ?? nextSerial++;
  const list = [...(options.extensions ?? [])];
  if (options.identifiers !== false && version === 3) {
    const signerId = sequence(tlv(0x80, signer.identifier));
    list.push(extension("2.5.29.14", octetString(key.identifier)));
    list.push(extension("2.5.29.35", signerId));
  }
  const content = sequence(
    ...(version === 3 ? [tlv(0xa0, integer(2))] : []),
    integer(serial),
    options.innerAlgorithm ?? algorithmOf(signer, signature).identifier,
    options.issuerName ?? issuer?.subject ?? subject,
    sequence(
      time(options.notBefore ?? EPOCH - 10 * DAY_MS),
      time(options.notAfter ?? EPOCH + 100 * DAY_MS),
    ),
    subject,
    options.spki ?? key.spki,
    ...((version === 3 || options.misplacedExtensions) && list.length > 0
      ? [tlv(0xa3, sequence(...list))]
      : []),
  );
  const der = signed(content, signer, signature, options.damageSignature ?? false);
  return { der, subject, key, serial };
}

/** A self-signed certificate authority. */
export function rootAuthority(
  options: Partial<CertificateOptions> & { key: TestKey },
): TestCertificate {
  return certificate({
    subject: "O=Tests/CN=Root",
    extensions: [authority(), keyUsage("keyCertSign", "cRLSign")],
    ...options,
  });
}

export interface CrlOptions {
  readonly issuer: TestCertificate;
  readonly signer?: TestKey;
  readonly revoked?: readonly (number | bigint)[];
  readonly number?: number;
  readonly thisUpdate?: number;
  readonly nextUpdate?: number | "none";
  readonly extensions?: readonly Uint8Array[];
  readonly entryExtensions?: readonly Uint8Array[];
  readonly damageSignature?: boolean;
}

/** Makes a revocation list; valid from a day before {@linkcode EPOCH} to thirty after. */
export function crl(options: CrlOptions): Uint8Array {
  const signer = options.signer ?? options.issuer.key;
  const entries = (options.revoked ?? []).map((serial) =>
    sequence(
      integer(serial),
      time(EPOCH - DAY_MS),
      ...(options.entryExtensions ? [sequence(...options.entryExtensions)] : []),
    )
  );
  const next = options.nextUpdate ?? EPOCH + 30 * DAY_MS;
  const extensions = [
    extension("2.5.29.35", sequence(tlv(0x80, signer.identifier))),
    extension("2.5.29.20", integer(options.number ?? 1)),
    ...(options.extensions ?? []),
  ];
  const content = sequence(
    integer(1),
    algorithmOf(signer, "default").identifier,
    options.issuer.subject,
    time(options.thisUpdate ?? EPOCH - DAY_MS),
    ...(next === "none" ? [] : [time(next)]),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    tlv(0xa0, sequence(...extensions)),
  );
  return signed(content, signer, "default", options.damageSignature ?? false);
}
