// Certificates and revocation lists that a peer could present: into the reader, and through validation.

import { createPrivateKey, sign } from "node:crypto";
import { Buffer } from "node:buffer";
import { equalBytes, toHex, utf8Bytes } from "../../src/base/bytes.ts";
import { DecodeError } from "../../src/base/byte_reader.ts";
import {
  CertificateFault,
  certificatePrincipal,
  certificatesFromPem,
  certificateSubjectText,
  isChainOfAuthorities,
  parseCertificate,
  parseCrl,
  PemError,
  pemText,
  PRINCIPAL_LENGTH_MAX,
  TrustStore,
  TrustStoreError,
} from "../../src/dtls/x509/mod.ts";
import { bitString, EPOCH, oid, sequence } from "../dtls/x509/certificate_builder.ts";
import { DerReader } from "../../src/dtls/x509/der_reader.ts";
import { CA_CREDENTIAL } from "../harness/credentials.ts";
import type { Random } from "../harness/random.ts";
import { mutatedDer } from "./der_mutation.ts";
import { mutated, mutatedList } from "./mutation.ts";
import { type FuzzInput, type FuzzOutcome, type FuzzTarget, rule } from "./target.ts";

/** What the first byte of a part says. */
export const Role = {
  CHAIN: 0,
  ANCHOR: 1,
  CRL: 2,
  /** Octets to be signed, which the CA of the tests signs: a certificate of the chain. */
  SIGNED_CHAIN: 3,
  /** The same for a revocation list. */
  SIGNED_CRL: 4,
  PEM: 5,
} as const;

/** The names that a client asks for, by the head's second byte. */
const SERVER_NAMES = [
  "server.example",
  "127.0.0.1",
  "localhost",
  "*.example.com",
  "::1",
  "a.b.example.com",
];

const ED25519_ALGORITHM = sequence(oid("1.3.101.112"));

const caKey = createPrivateKey({
  key: Buffer.from(CA_CREDENTIAL.pkcs8),
  format: "der",
  type: "pkcs8",
});

function signedByCa(content: Uint8Array): Uint8Array {
  return sequence(
    content,
    ED25519_ALGORITHM,
    bitString(new Uint8Array(sign(null, content, caKey))),
  );
}

/** The target: `genuine` are the inputs whose certificates count as ones that their issuers made. */
export function certificatesTarget(genuine: () => Iterable<FuzzInput>): FuzzTarget {
  let known: ReadonlySet<string> | undefined;
  const isGenuine = (der: Uint8Array) => {
    known ??= new Set(
      [...genuine()].flatMap((input) => input.slice(1).map((part) => part.subarray(1).join())),
    );
    return known.has(der.join());
  };
  return { name: "certificates", make, run: (input) => run(input, isGenuine) };
}

function make(random: Random, kept: readonly FuzzInput[]): FuzzInput {
  const [head, ...parts] = random.pick(kept);
  const foreign = () => random.pick(random.pick(kept).slice(1));
  const changed = random.chance(0.2)
    ? mutatedList(random, parts, foreign, (part) => changedPart(random, part, foreign()))
    : parts.map((part) => {
      // Nobody but its owner writes a store's anchors.
      const chance = part[0] === Role.ANCHOR ? 0.05 : 1 / Math.max(1, parts.length - 1);
      return random.chance(chance) ? changedPart(random, part, foreign()) : part;
    });
  const newHead = random.chance(0.05) ? random.bytes(2) : head!;
  return [newHead, ...changed.slice(0, 12)];
}

function changedPart(random: Random, part: Uint8Array, other: Uint8Array): Uint8Array {
  const role = part[0] ?? Role.CHAIN;
  const der = part.subarray(1);
  if (role === Role.PEM) return Uint8Array.of(role, ...mutated(random, der, other));
  const isSigning = (role === Role.CHAIN || role === Role.CRL) && random.chance(0.5);
  if (!isSigning) return Uint8Array.of(role, ...mutatedDer(random, der, other.subarray(1)));
  const content = signedPart(der) ?? der;
  const signedRole = role === Role.CHAIN ? Role.SIGNED_CHAIN : Role.SIGNED_CRL;
  return Uint8Array.of(signedRole, ...mutatedDer(random, content, other.subarray(1)));
}

/** The octets of a certificate or list that its signature covers. */
function signedPart(der: Uint8Array): Uint8Array | undefined {
  try {
    return new DerReader(der).sequence().element().encoding;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

function run(input: FuzzInput, isGenuine: (der: Uint8Array) => boolean): FuzzOutcome {
  const [head = new Uint8Array(2), ...parts] = input;
  const ders = (...roles: number[]) =>
    parts.filter((part) => roles.includes(part[0] ?? 0)).map((part) =>
      part[0] === Role.SIGNED_CHAIN || part[0] === Role.SIGNED_CRL
        ? signedByCa(part.subarray(1))
        : part.slice(1)
    );
  const chain = ders(Role.CHAIN, Role.SIGNED_CHAIN);
  const features = new Set<string>();
  for (const der of chain) features.add(`read: ${readEach(der)}`);
  for (const der of ders(Role.CRL, Role.SIGNED_CRL)) features.add(`read list: ${readList(der)}`);
  for (const pem of ders(Role.PEM)) features.add(`PEM: ${readPem(pem)}`);
  for (const der of chain) {
    // Slow beside the rest, and seldom of interest.
    if (der.length === 0 || der.length % 16 !== 0) continue;
    rule(readPem(utf8Bytes(pemText("CERTIFICATE", der))) === "fine", "PEM that is not read again");
    isChainFine(der);
  }
  const store = storeOf(ders(Role.ANCHOR), ders(Role.CRL, Role.SIGNED_CRL));
  if (typeof store === "string") return { count: 1, features: [...features, store] };
  const outcome = validate(store, chain, head);
  features.add(`validation: ${outcome.text}`);
  const signedHere = new Set(ders(Role.SIGNED_CHAIN).map(toHex));
  for (const { der } of outcome.path.slice(0, -1)) {
    rule(
      isGenuine(der) || signedHere.has(toHex(der)),
      "a certificate that nobody signed is accepted",
    );
  }
  const anchor = outcome.path.at(-1);
  rule(
    anchor === undefined || ders(Role.ANCHOR).some((der) => equalBytes(der, anchor.der)),
    "a path that ends at no anchor is accepted",
  );
  return { count: 1, features: [...features] };
}

const detail = ({ message }: Error) => message.replace(/0x[0-9a-f]+|[\d.]*\d/g, "N").slice(0, 60);

/** Reads a certificate and says who it speaks for; what can go wrong, by name. */
function readEach(der: Uint8Array): string {
  try {
    const certificate = parseCertificate(der);
    const principal = certificatePrincipal(certificate);
    rule(principal.length <= PRINCIPAL_LENGTH_MAX + 80, "a principal without bounds");
    rule(
      !/[\p{Cc}\u2028\u2029]/u.test(certificateSubjectText(certificate)),
      "a subject of two lines",
    );
    return "fine";
  } catch (error) {
    if (!(error instanceof CertificateFault)) throw error;
    rule(error.reason === "malformed", "a reader's fault that is not of form");
    return detail(error);
  }
}

const isChainFine = (der: Uint8Array) => {
  try {
    return isChainOfAuthorities([der], [der]) || true;
  } catch (error) {
    if (!(error instanceof CertificateFault)) throw error;
    return false;
  }
};

function readList(der: Uint8Array): string {
  try {
    parseCrl(der);
    return "fine";
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return detail(error);
  }
}

function readPem(text: Uint8Array): string {
  try {
    certificatesFromPem(new TextDecoder().decode(text));
    return "fine";
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    return error.reason;
  }
}

/** Stores by what they were made of: with the good signatures that they remember, genuine chains cost little. */
const stores = new Map<string, TrustStore | string>();
const STORES_MAX = 256;

function storeOf(
  trustAnchors: readonly Uint8Array[],
  crls: readonly Uint8Array[],
): TrustStore | string {
  const key = [...trustAnchors, new Uint8Array(0), ...crls].map(toHex).join();
  const store = stores.get(key) ?? makeStore(trustAnchors, crls);
  if (stores.size >= STORES_MAX) stores.clear();
  stores.set(key, store);
  return store;
}

function makeStore(
  trustAnchors: readonly Uint8Array[],
  crls: readonly Uint8Array[],
): TrustStore | string {
  try {
    return new TrustStore({ trustAnchors, crls });
  } catch (error) {
    if (!(error instanceof TrustStoreError)) throw error;
    return "store refused";
  }
}

function validate(store: TrustStore, chain: readonly Uint8Array[], head: Uint8Array) {
  const serverName = SERVER_NAMES[(head[1] ?? 0) % SERVER_NAMES.length]!;
  try {
    const { path } = (head[0] ?? 0) % 2 === 0
      ? store.validate({ chain, now: EPOCH, purpose: "serverAuth", serverName })
      : store.validate({ chain, now: EPOCH, purpose: "clientAuth" });
    return { text: "accepted", path };
  } catch (error) {
    if (!(error instanceof CertificateFault)) throw error;
    return { text: error.reason, path: [] };
  }
}
