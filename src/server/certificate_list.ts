// What a folder of certificates holds, for a person to look at and to choose from.

import {
  certificateSubjectText,
  type GeneralName,
  ipAddressText,
  nameText,
  parseCertificate,
  type ParsedCertificate,
} from "../dtls/x509/mod.ts";
import type { Milliseconds } from "../base/core.ts";
import { certificatePaths, isSignedBy, readAuthorityCrl } from "./certificate_directory.ts";
import { CertificateFileError, fileExists, readCertificates } from "./certificate_files.ts";

/** Whether a certificate can be used. */
export type CertificateStatus =
  | "valid"
  | "expired"
  | "not yet valid"
  | "revoked"
  | "of another authority"
  | "malformed";

/** One certificate of a folder. A malformed one has nothing but its name. */
export interface ListedCertificate {
  /** The file's name without `.pem`. */
  readonly name: string;
  /** By RFC 4514. */
  readonly subject: string;
  /** As text, without their forms. */
  readonly altNames: readonly string[];
  /** Milliseconds since the Unix epoch; `undefined` for a malformed one. */
  readonly notAfter: number | undefined;
  /** Hexadecimal digits. */
  readonly serialNumber: string;
  /** Now. */
  readonly status: CertificateStatus;
}

/** A folder's certificates, and what its revocation list says. */
export interface CertificateList {
  /** By name. */
  readonly certificates: readonly ListedCertificate[];
  /** The authority's revocation list, where there is one. */
  readonly crl: {
    readonly crlNumber: bigint | undefined;
    readonly revokedCount: number;
    readonly nextUpdate: number | undefined;
  } | undefined;
}

/** Reads a folder's certificates. Throws {@linkcode CertificateFileError}. */
export async function listCertificates(
  directory: string,
  now: Milliseconds,
): Promise<CertificateList> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(directory)) {
    if (name.endsWith(".pem")) names.push(name.slice(0, -".pem".length));
  }
  const authority = await readFirst(certificatePaths(directory, "ca").certificate);
  const crl = authority && await readAuthorityCrl(directory, authority);
  const statusOf = (certificate: ParsedCertificate): CertificateStatus => {
    const isOurs = authority !== undefined && isSignedBy(certificate, authority);
    if (isOurs && crl?.revoked.has(certificate.serialNumber) === true) return "revoked";
    if (now > certificate.notAfter) return "expired";
    if (now < certificate.notBefore) return "not yet valid";
    return isOurs ? "valid" : "of another authority";
  };
  const certificates: ListedCertificate[] = [];
  for (const name of names.toSorted()) {
    const certificate = await readListed(`${directory}/${name}.pem`);
    if (certificate === undefined) continue;
    certificates.push(listed(name, certificate, statusOf));
  }
  return {
    certificates,
    crl: crl && {
      crlNumber: crl.crlNumber,
      revokedCount: crl.revoked.size,
      nextUpdate: crl.nextUpdate,
    },
  };
}

function listed(
  name: string,
  certificate: ParsedCertificate | "malformed",
  statusOf: (certificate: ParsedCertificate) => CertificateStatus,
): ListedCertificate {
  if (certificate === "malformed") {
    return {
      name,
      subject: "",
      altNames: [],
      notAfter: undefined,
      serialNumber: "",
      status: certificate,
    };
  }
  return {
    name,
    subject: certificateSubjectText(certificate),
    altNames: certificate.extensions.subjectAltNames.map(altNameText),
    notAfter: certificate.notAfter,
    serialNumber: certificate.serialNumber,
    status: statusOf(certificate),
  };
}

/** The first certificate of a file; `undefined` where there is no file, or nothing but a public key in it. */
async function readFirst(path: string): Promise<ParsedCertificate | undefined> {
  if (!await fileExists(path)) return undefined;
  const text = await Deno.readTextFile(path);
  if (!text.includes("-----BEGIN CERTIFICATE-----")) return undefined;
  return parseCertificate((await readCertificates(path))[0]!);
}

/** Like {@linkcode readFirst}; one bad file does not keep the others from being listed. */
async function readListed(path: string): Promise<ParsedCertificate | undefined | "malformed"> {
  try {
    return await readFirst(path);
  } catch (error) {
    if (error instanceof CertificateFileError && error.reason === "malformed") return "malformed";
    throw error;
  }
}

function altNameText(name: GeneralName): string {
  switch (name.form) {
    case "ip":
      return ipAddressText(name.octets);
    case "directory":
      return nameText(name.directory);
    case "other":
      return "(other)";
    default:
      return name.text;
  }
}

/**
 * The serial number that a text means: of the certificate of this name in the folder, of the certificate in this
 * file, or the number itself. Throws {@linkcode CertificateFileError}, also where the authority did not issue it.
 */
export async function findSerialNumber(
  directory: string,
  text: string,
  authority: ParsedCertificate,
): Promise<string> {
  const inFolder = /[\\/]/.test(text) ? undefined : `${directory}/${text}.pem`;
  for (const path of [inFolder, text]) {
    if (path === undefined || !await fileExists(path)) continue;
    const certificate = parseCertificate((await readCertificates(path))[0]!);
    if (!isSignedBy(certificate, authority)) {
      throw new CertificateFileError("not-ours", path, "another authority issued this certificate");
    }
    if (certificate.serialNumber === authority.serialNumber) {
      throw new CertificateFileError("not-ours", path, "an authority cannot revoke itself");
    }
    return certificate.serialNumber;
  }
  const digits = text.replaceAll(":", "").toLowerCase().replace(/^(?:00)+(?=.)/, "");
  if (/^(?:[0-9a-f]{2}){1,20}$/.test(digits)) return digits;
  const detail = `no such certificate in ${directory}, file or serial number`;
  throw new CertificateFileError("missing", text, detail);
}
