// The credentials that the runner hands its shim as PEM files.

import { EMPTY_BYTES } from "../../src/base/bytes.ts";
import { signatureName } from "../../src/dtls/cipher_suites.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { Credential } from "../../src/dtls/options.ts";
import type { ExternalPsk } from "../../src/dtls/psk_importer.ts";
import { certificatesFromPem, privateKeyFromPem } from "../../src/dtls/x509/pem.ts";
import type { ConnectionFlags, CredentialFlags } from "./flags.ts";

/** A credential, and the number that the runner knows it by: -1 for the default one. */
export interface NumberedCredential {
  readonly number: number;
  readonly credential: Credential;
}

/** The certificates that the flags name, best first; the default one comes last. */
export function readCredentials(flags: ConnectionFlags): NumberedCredential[] {
  return [...flags.credentials.entries(), [-1, flags.defaultCredential] as const]
    .filter(([, one]) => one.has("-cert-file") && one.has("-key-file"))
    .map(([number, one]) => ({ number, credential: readCredential(one) }));
}

function readCredential(flags: CredentialFlags): Credential {
  const chain = certificatesFromPem(Deno.readTextFileSync(flags.text("-cert-file")!));
  const { pkcs8 } = privateKeyFromPem(Deno.readTextFileSync(flags.text("-key-file")!));
  const key = nodeProvider.signingKey(pkcs8);
  const schemes = flags.numbers("-signing-prefs")?.map((scheme) => signatureName(scheme))
    .filter((name) => name !== undefined);
  const isIssuerRequired = flags.has("-must-match-issuer");
  return { chain, key, isIssuerRequired, ...(schemes === undefined ? {} : { schemes }) };
}

/** A PSK, and the number that the runner knows it by. */
export interface NumberedPsk {
  readonly number: number;
  readonly psk: ExternalPsk;
}

/** The keys that the flags name, best first. */
export function readPsks(flags: ConnectionFlags): NumberedPsk[] {
  return [...flags.credentials.entries()]
    .filter(([, one]) => one.has("-new-psk-credential"))
    .map(([number, one]) => ({ number, psk: readPsk(one) }));
}

function readPsk(flags: CredentialFlags): ExternalPsk {
  return {
    key: flags.bytes("-psk-importer-key") ?? EMPTY_BYTES,
    identity: flags.bytes("-psk-importer-identity") ?? EMPTY_BYTES,
    context: flags.bytes("-psk-importer-context") ?? EMPTY_BYTES,
    hash: flags.has("-psk-importer-sha384") ? "sha384" : "sha256",
  };
}
