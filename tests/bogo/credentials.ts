// The credentials that the runner hands its shim as PEM files.

import { signatureName } from "../../src/dtls/cipher_suites.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { SigningKey } from "../../src/dtls/crypto/provider.ts";
import type { Credential } from "../../src/dtls/options.ts";
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
  const preferences = flags.numbers("-signing-prefs");
  return { chain, key: preferences === undefined ? key : limited(key, preferences) };
}

/** A key that signs with these schemes alone, best first. */
function limited(key: SigningKey, preferences: readonly number[]): SigningKey {
  const schemes = preferences.map((scheme) => signatureName(scheme)).filter((name) =>
    name !== undefined
  )
    .filter((name) => key.schemes.includes(name));
  return {
    schemes,
    publicKey: key.publicKey,
    sign: (scheme, message) => key.sign(scheme, message),
  };
}
