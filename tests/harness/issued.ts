// Certificates of the project's own issuer for tests: a client of a live server, in every way that one can be refused.

import { parseCertificate, privateKeyFromPem } from "../../src/dtls/x509/mod.ts";
import { readAuthority } from "../../src/server/certificate_directory.ts";
import {
  type Authority,
  issueAuthority,
  issueClientCertificate,
  type IssuedCertificate,
} from "../../src/server/certificate_issuer.ts";
import type { LiveServer } from "./live_server.ts";

export const DAY_MS = 86_400_000;

/** The authority of a live server, with its key. */
export function authorityOf(server: LiveServer): Promise<Authority> {
  return readAuthority(`${server.folder}/certs`);
}

/** A new authority that nobody knows. */
export async function strangeAuthority(): Promise<Authority> {
  const issued = await issueAuthority({ commonName: "Somebody's CA", days: 1, now: Date.now() });
  return asAuthority(issued);
}

/** An issued authority, to issue with. */
export function asAuthority({ certificate, privateKeyPem }: IssuedCertificate): Authority {
  return {
    certificate: parseCertificate(certificate.der),
    privateKey: privateKeyFromPem(privateKeyPem),
  };
}

/** A client's certificate, and its key, as options of a connection. */
export async function clientOptions(
  authority: Authority,
  { commonName = "somebody", days = 1, now = Date.now(), altNames = [] as string[] } = {},
): Promise<{ cert: string; key: string; issued: IssuedCertificate }> {
  const issued = await issueClientCertificate(authority, { commonName, days, now, altNames });
  return { cert: issued.certificatePem, key: issued.privateKeyPem, issued };
}
