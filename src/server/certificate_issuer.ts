// Issues certificates and revocation lists. Loading this module takes 200 ms: import it dynamically, and only where
// certificates are made.

import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { equalBytes, toHex } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import {
  ipAddressText,
  parseCertificate,
  parseCrl,
  type ParsedCertificate,
  type ParsedCrl,
  parseIpAddress,
  PemLabel,
  type PemPrivateKey,
  pemText,
  type PublicKeyKind,
} from "../dtls/x509/mod.ts";
import { isDnsName } from "../dtls/x509/general_name.ts";

/** Kinds of keys that are made. */
export type KeyAlgorithm = "p256" | "p384" | "ed25519";

/** What cannot be issued, and why; the message is one line for a person. */
export class CertificateIssueError extends Error {
  /** The type's name. */
  override readonly name = "CertificateIssueError";
}

/** A certificate that was issued, with its private key. */
export interface IssuedCertificate {
  /** The certificate, read back. */
  readonly certificate: ParsedCertificate;
  /** The certificate in PEM. */
  readonly certificatePem: string;
  /** The private key in PEM, PKCS#8. */
  readonly privateKeyPem: string;
}

/** What every certificate needs. */
export interface IssueOptions {
  /** The subject's common name, 1 to 64 characters. */
  readonly commonName: string;
  /** Default `"p256"`. */
  readonly key?: KeyAlgorithm;
  /** Days of validity from now. A certificate never outlives its issuer. */
  readonly days: number;
  /** The time of issue. */
  readonly now: Milliseconds;
}

/** A certificate authority that issues. */
export interface Authority {
  /** Its certificate. */
  readonly certificate: ParsedCertificate;
  /** Its private key. */
  readonly privateKey: PemPrivateKey;
}

/** Certificates are valid from this long before they are made, for clocks that are behind. */
const BACKDATE_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Longest validity, in days. */
export const VALIDITY_DAYS_MAX = 36_500;

const GENERATE: Readonly<Record<KeyAlgorithm, EcKeyGenParams | Algorithm>> = {
  p256: { name: "ECDSA", namedCurve: "P-256" },
  p384: { name: "ECDSA", namedCurve: "P-384" },
  ed25519: { name: "Ed25519" },
};

const SIGN: Readonly<
  Record<Exclude<PublicKeyKind, "unsupported">, EcdsaParams | RsaHashedImportParams | Algorithm>
> = {
  p256: { name: "ECDSA", hash: "SHA-256" },
  p384: { name: "ECDSA", hash: "SHA-384" },
  ed25519: { name: "Ed25519" },
  rsa: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

/** Makes a certificate authority: self-signed, for leaves only. Throws {@linkcode CertificateIssueError}. */
export async function issueAuthority(options: IssueOptions): Promise<IssuedCertificate> {
  const algorithm = options.key ?? "p256";
  const keys = await generateKeys(algorithm);
  const created = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerialNumber(),
    name: commonName(options.commonName),
    ...validity(options),
    keys,
    signingAlgorithm: SIGN[algorithm],
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return await issued(created, keys);
}

/**
 * Issues a server's certificate for DNS names and IP addresses, each as `parseAltName` below reads it.
 * Throws {@linkcode CertificateIssueError}.
 */
export function issueServerCertificate(
  authority: Authority,
  options: IssueOptions & { readonly altNames: readonly string[] },
): Promise<IssuedCertificate> {
  if (options.altNames.length === 0) {
    throw new CertificateIssueError("a server needs a name: without one, no client accepts it");
  }
  return issueLeaf(authority, options, x509.ExtendedKeyUsage.serverAuth);
}

/** Issues a client's certificate. Throws {@linkcode CertificateIssueError}. */
export function issueClientCertificate(
  authority: Authority,
  options: IssueOptions & { readonly altNames?: readonly string[] },
): Promise<IssuedCertificate> {
  const altNames = options.altNames ?? [];
  return issueLeaf(authority, { ...options, altNames }, x509.ExtendedKeyUsage.clientAuth);
}

async function issueLeaf(
  authority: Authority,
  options: IssueOptions & { readonly altNames: readonly string[] },
  purpose: x509.ExtendedKeyUsage,
): Promise<IssuedCertificate> {
  const signer = await loadAuthority(authority);
  const keys = await generateKeys(options.key ?? "p256");
  const created = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerialNumber(),
    subject: commonName(options.commonName),
    issuer: signer.certificate.subjectName,
    ...validity(options, authority.certificate),
    publicKey: keys.publicKey,
    signingKey: signer.key,
    signingAlgorithm: signer.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([purpose]),
      ...(options.altNames.length > 0
        ? [new x509.SubjectAlternativeNameExtension(options.altNames.map(parseAltName))]
        : []),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(signer.certificate),
    ],
  });
  return await issued(created, keys);
}

/** One certificate to be revoked. */
export interface Revocation {
  /** Hexadecimal digits, as {@linkcode ParsedCertificate.serialNumber} has them. */
  readonly serialNumber: string;
  /** Milliseconds since the Unix epoch. */
  readonly revokedAt: Milliseconds;
  /** CRLReason (RFC 5280 section 5.3.1); 0 is left out, as the RFC asks. */
  readonly reason: number;
}

/** What a revocation list says. */
export interface IssueCrlOptions {
  /** Rises with every list of an issuer. */
  readonly crlNumber: bigint;
  /** All that is revoked, not only what is new. */
  readonly revocations: readonly Revocation[];
  /** Days until the next list must be there: after them, whoever uses the list refuses every certificate. */
  readonly days: number;
  /** The time of issue. */
  readonly now: Milliseconds;
}

/** Issues a revocation list. Throws {@linkcode CertificateIssueError}. */
export async function issueCrl(
  authority: Authority,
  options: IssueCrlOptions,
): Promise<{ readonly crl: ParsedCrl; readonly crlPem: string }> {
  const signer = await loadAuthority(authority);
  const created = await x509.X509CrlGenerator.create({
    issuer: signer.certificate.subjectName,
    thisUpdate: new Date(wholeSeconds(options.now)),
    nextUpdate: new Date(wholeSeconds(options.now + checkedDays(options.days) * DAY_MS)),
    signingAlgorithm: signer.algorithm,
    signingKey: signer.key,
    entries: options.revocations.map(({ serialNumber, revokedAt, reason }) => ({
      serialNumber,
      revocationDate: new Date(wholeSeconds(revokedAt)),
      // Without any extension the library writes an empty list of them, which RFC 5280 does not allow.
      ...(reason === 0 ? { invalidity: new Date(wholeSeconds(revokedAt)) } : { reason }),
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(signer.certificate),
      new x509.Extension("2.5.29.20", false, derInteger(options.crlNumber)),
    ],
  });
  const der = new Uint8Array(created.rawData);
  return { crl: parseCrl(der), crlPem: pemText(PemLabel.crl, der) };
}

function derInteger(value: bigint): Uint8Array<ArrayBuffer> {
  const hex = value.toString(16);
  const octets = Uint8Array.fromHex(hex.padStart(hex.length + hex.length % 2, "0"));
  const padding = octets[0]! >= 0x80 ? [0] : [];
  return Uint8Array.from([0x02, octets.length + padding.length, ...padding, ...octets]);
}

async function loadAuthority({ certificate, privateKey }: Authority) {
  const { kind, spki } = certificate.publicKey;
  if (kind === "unsupported") {
    throw new CertificateIssueError("the authority has a key of an unsupported kind");
  }
  if (!equalBytes(spki, privateKey.publicKey)) {
    throw new CertificateIssueError("the authority's private key does not match its certificate");
  }
  const importAs = kind === "p256" || kind === "p384" ? GENERATE[kind] : SIGN[kind];
  const pkcs8 = privateKey.pkcs8.slice();
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, importAs, false, ["sign"]);
  const parsed = new x509.X509Certificate(certificate.der.slice());
  return { certificate: parsed, key, algorithm: SIGN[kind] };
}

async function generateKeys(algorithm: KeyAlgorithm): Promise<CryptoKeyPair> {
  const keys = await crypto.subtle.generateKey(GENERATE[algorithm], true, ["sign", "verify"]);
  return keys as CryptoKeyPair;
}

async function issued(
  created: x509.X509Certificate,
  keys: CryptoKeyPair,
): Promise<IssuedCertificate> {
  const der = new Uint8Array(created.rawData);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const privateKeyPem = pemText(PemLabel.privateKey, pkcs8);
  pkcs8.fill(0);
  return {
    // Read back by the reader that peers will use: what it refuses is never handed out.
    certificate: parseCertificate(der),
    certificatePem: pemText(PemLabel.certificate, der),
    privateKeyPem,
  };
}

/** RFC 5280 appendix A: ub-common-name is 64. */
function commonName(text: string): x509.JsonName {
  if (text.length < 1 || text.length > 64) {
    throw new CertificateIssueError("a common name has 1 to 64 characters");
  }
  return [{ CN: [text] }];
}

function validity({ now, days }: IssueOptions, issuer?: ParsedCertificate) {
  const notAfter = Math.min(now + checkedDays(days) * DAY_MS, issuer?.notAfter ?? Infinity);
  if (notAfter <= now) throw new CertificateIssueError("the authority's certificate has expired");
  return {
    notBefore: new Date(wholeSeconds(now - BACKDATE_MS)),
    notAfter: new Date(wholeSeconds(notAfter)),
  };
}

function checkedDays(days: number): number {
  if (Number.isInteger(days) && days >= 1 && days <= VALIDITY_DAYS_MAX) return days;
  throw new CertificateIssueError(`a validity is from 1 to ${VALIDITY_DAYS_MAX} days`);
}

function wholeSeconds(at: Milliseconds): Milliseconds {
  return Math.floor(at / 1000) * 1000;
}

/** 126 random bits behind a first octet that is neither negative nor zero (RFC 5280 section 4.1.2.2). */
function randomSerialNumber(): string {
  const octets = crypto.getRandomValues(new Uint8Array(16));
  octets[0] = (octets[0]! & 0x7f) | 0x40;
  return toHex(octets);
}

/**
 * The name that a text means: `dns:`, `ip:`, `uri:` or `email:` and the name (upper case too), or without a form an IP
 * address where it is one, else a DNS name. Throws {@linkcode CertificateIssueError}.
 */
function parseAltName(text: string): x509.JsonGeneralName {
  const [, prefix, rest] = /^(dns|ip|uri|email):(.+)$/is.exec(text) ?? [];
  const value = rest ?? text;
  const address = parseIpAddress(value);
  const form = prefix?.toLowerCase() ?? (address === undefined ? "dns" : "ip");
  if (form === "ip" && address !== undefined) return { type: "ip", value: ipAddressText(address) };
  if (form === "dns" && isDnsName(value) && address === undefined) return { type: "dns", value };
  const isPlain = /^[\x21-\x7e]+$/.test(value);
  if (form === "uri" && isPlain && URL.canParse(value)) return { type: "url", value };
  if (form === "email" && isPlain && /^[^@]+@[^@]+$/.test(value)) return { type: "email", value };
  throw new CertificateIssueError(`"${text}" is no name for a certificate`);
}
