// The folder with the authority's, the server's and the clients' certificates: its file names, and how it is filled.

import { verifySignature } from "../dtls/x509/signature.ts";
import type { Milliseconds } from "../base/core.ts";
import { parseCertificate, type ParsedCertificate, type ParsedCrl } from "../dtls/x509/mod.ts";
import {
  CertificateFileError,
  fileExists,
  makeFolder,
  readCertificates,
  readCredential,
  readCrl,
  writeFile,
} from "./certificate_files.ts";
import type {
  Authority,
  IssuedCertificate,
  KeyAlgorithm,
  Revocation,
} from "./certificate_issuer.ts";

/** Common name of the authority that is made where there is none. */
export const AUTHORITY_COMMON_NAME = "SQP development CA";

/** Names of a development server. */
export const DEVELOPMENT_ALT_NAMES: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** Validity of what is made unless somebody says otherwise, in days. */
export const DEFAULT_VALIDITY_DAYS = { authority: 3_650, leaf: 365, crl: 365 } as const;

/** A revocation list that ends sooner than this is made anew where the authority's key is there. */
const CRL_RENEWAL_MS = 30 * 86_400_000;

/** Names of the files of one certificate. */
export interface CertificatePaths {
  /** `NAME.pem`. */
  readonly certificate: string;
  /** `NAME.key`. */
  readonly key: string;
}

/** The files of the certificate `name` in a folder. */
export function certificatePaths(directory: string, name: string): CertificatePaths {
  return { certificate: `${directory}/${name}.pem`, key: `${directory}/${name}.key` };
}

/** The authority's revocation list in a folder. */
export function crlPath(directory: string): string {
  return `${directory}/ca.crl`;
}

/** Writes a certificate and its key. Throws {@linkcode CertificateFileError} where they exist and are to be kept. */
export async function writeIssued(
  paths: CertificatePaths,
  issued: IssuedCertificate,
  overwrite: boolean,
): Promise<void> {
  if (!overwrite) await expectFree(paths.certificate, paths.key);
  await writeFile(paths.key, issued.privateKeyPem, { access: "private", overwrite });
  await writeFile(paths.certificate, issued.certificatePem, { access: "public", overwrite });
}

/** Throws {@linkcode CertificateFileError} where one of the files is there. */
export async function expectFree(...paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (await fileExists(path)) throw new CertificateFileError("exists", path, "exists already");
  }
}

/** Reads the authority of a folder with its key. Throws {@linkcode CertificateFileError}. */
export async function readAuthority(directory: string): Promise<Authority> {
  const { certificate, key } = certificatePaths(directory, "ca");
  const { leaf, pkcs8 } = await readCredential(certificate, key);
  return { certificate: leaf, privateKey: { pkcs8, publicKey: leaf.publicKey.spki } };
}

/** Whether an authority's key made the signature of a certificate or revocation list. */
export function isSignedBy(
  signed: Pick<ParsedCertificate, "signatureAlgorithm" | "signedOctets" | "signature">,
  authority: ParsedCertificate,
): boolean {
  const { signatureAlgorithm, signedOctets, signature } = signed;
  return signatureAlgorithm !== undefined &&
    verifySignature(signatureAlgorithm, authority.publicKey, signedOctets, signature);
}

/**
 * Reads the authority's revocation list, `undefined` where there is none. Throws {@linkcode CertificateFileError},
 * also for a list that the authority did not sign.
 */
export async function readAuthorityCrl(
  directory: string,
  authority: ParsedCertificate,
): Promise<ParsedCrl | undefined> {
  const path = crlPath(directory);
  if (!await fileExists(path)) return undefined;
  const crl = await readCrl(path);
  if (isSignedBy(crl, authority)) return crl;
  throw new CertificateFileError("malformed", path, "the authority did not sign this list");
}

/** What a new revocation list of a folder's authority says. */
export interface WriteCrlOptions {
  /** The list before, `undefined` for the first or for a new authority. */
  readonly previous: ParsedCrl | undefined;
  /** What is revoked now, beside what was before. */
  readonly revocations: readonly Revocation[];
  /** Days until the next list must be there. */
  readonly days: number;
  /** The time of issue. */
  readonly now: Milliseconds;
}

/** Writes the next revocation list in place of the one before. Returns its number. */
export async function writeCrl(
  directory: string,
  authority: Authority,
  { previous, revocations, days, now }: WriteCrlOptions,
): Promise<bigint> {
  const { issueCrl } = await import("./certificate_issuer.ts");
  const before = [...previous?.revoked ?? []].map(([serialNumber, entry]) => ({
    serialNumber,
    ...entry,
  }));
  const crlNumber = (previous?.crlNumber ?? 0n) + 1n;
  const { crlPem } = await issueCrl(authority, {
    crlNumber,
    revocations: [...before, ...revocations],
    days,
    now,
  });
  await writeFile(crlPath(directory), crlPem, { access: "public", overwrite: true });
  return crlNumber;
}

/** What {@linkcode ensureDevelopmentCertificates} found or made. */
export interface DevelopmentCertificates {
  /** The authority's certificate. */
  readonly ca: string;
  /** The authority's revocation list, `undefined` where there is none and no key to make one. */
  readonly crl: string | undefined;
  /** The server's files. */
  readonly server: CertificatePaths;
  /** The client's files, `undefined` where there are none and no authority's key to make them. */
  readonly client: CertificatePaths | undefined;
  /** Files that were made now. */
  readonly made: readonly string[];
}

/**
 * Makes what is missing in a folder of certificates: the authority, a server's and a client's certificate, and the
 * revocation list, which is also renewed in time. Nothing that is there is replaced but that list. Where there is an
 * authority without its key, as on a server in production, nothing is issued.
 *
 * Throws {@linkcode CertificateFileError}: half of a pair, a key that does not match its certificate, an unreadable
 * file, a server's certificate without its authority.
 */
export async function ensureDevelopmentCertificates(
  directory: string,
  now: Milliseconds = Date.now(),
): Promise<DevelopmentCertificates> {
  await makeFolder(directory);
  const made: string[] = [];
  const ca = certificatePaths(directory, "ca");
  const server = certificatePaths(directory, "server");
  const client = certificatePaths(directory, "client");
  const hasServer = await hasPair(server);
  const hasClient = await hasPair(client);
  if (!await fileExists(ca.certificate)) {
    const orphan = hasServer ? server.certificate : hasClient ? client.certificate : undefined;
    await makeAuthority(directory, orphan, now);
    made.push(ca.certificate, ca.key);
  }
  const authority = await fileExists(ca.key) ? await readAuthority(directory) : undefined;
  const caCertificate = authority?.certificate ??
    parseCertificate((await readCertificates(ca.certificate))[0]!);
  if (authority === undefined && !hasServer) {
    throw new CertificateFileError("missing", server.certificate, "no such file, and no ca.key");
  }
  if (authority !== undefined) {
    if (!hasServer) made.push(...await makeLeaf(authority, server, "server", now));
    if (!hasClient) made.push(...await makeLeaf(authority, client, "client", now));
  }
  const crl = await readAuthorityCrl(directory, caCertificate);
  const endsSoon = (crl?.nextUpdate ?? 0) < now + CRL_RENEWAL_MS;
  if (authority !== undefined && endsSoon) {
    const days = DEFAULT_VALIDITY_DAYS.crl;
    await writeCrl(directory, authority, { previous: crl, revocations: [], days, now });
    made.push(crlPath(directory));
  }
  return {
    ca: ca.certificate,
    crl: crl !== undefined || authority !== undefined ? crlPath(directory) : undefined,
    server,
    client: hasClient || authority !== undefined ? client : undefined,
    made,
  };
}

/** Whether both files are there, and belong together. Throws {@linkcode CertificateFileError} for one alone. */
async function hasPair({ certificate, key }: CertificatePaths): Promise<boolean> {
  const hasCertificate = await fileExists(certificate);
  if (hasCertificate === await fileExists(key)) {
    if (hasCertificate) await readCredential(certificate, key);
    return hasCertificate;
  }
  const [missing, present] = hasCertificate ? [key, certificate] : [certificate, key];
  throw new CertificateFileError("missing", missing, `no such file, but ${present} is there`);
}

async function makeAuthority(
  directory: string,
  orphan: string | undefined,
  now: Milliseconds,
): Promise<void> {
  const paths = certificatePaths(directory, "ca");
  if (orphan !== undefined) {
    const detail = `no such file, but ${orphan} is there`;
    throw new CertificateFileError("missing", paths.certificate, detail);
  }
  // A list without its authority is of no use to anybody, but whoever put it there should know.
  await expectFree(paths.key, crlPath(directory));
  const { issueAuthority } = await import("./certificate_issuer.ts");
  const days = DEFAULT_VALIDITY_DAYS.authority;
  const issued = await issueAuthority({ commonName: AUTHORITY_COMMON_NAME, days, now });
  await writeIssued(paths, issued, false);
}

async function makeLeaf(
  authority: Authority,
  paths: CertificatePaths,
  role: "server" | "client",
  now: Milliseconds,
): Promise<string[]> {
  const issuer = await import("./certificate_issuer.ts");
  const days = DEFAULT_VALIDITY_DAYS.leaf;
  const key: KeyAlgorithm = "p256";
  const issued = role === "server"
    ? await issuer.issueServerCertificate(authority, {
      commonName: "localhost",
      altNames: DEVELOPMENT_ALT_NAMES,
      days,
      key,
      now,
    })
    : await issuer.issueClientCertificate(authority, { commonName: "client", days, key, now });
  await writeIssued(paths, issued, false);
  return [paths.certificate, paths.key];
}
