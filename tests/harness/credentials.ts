// Certificates and keys for tests: made once with OpenSSL, valid from 2000 to 2100. The keys are known to everybody.

import { X509Certificate } from "node:crypto";
import { concatBytes, fromHex } from "../../src/base/bytes.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import type { Credential, PeerVerifier } from "../../src/dtls/options.ts";

/** A certificate and its key. */
export interface TestCredential {
  /** The certificate in DER. */
  readonly certificate: Uint8Array;
  /** The key in PKCS#8 DER. */
  readonly pkcs8: Uint8Array;
}

// RFC 8410 section 7 and RFC 5915 in RFC 5208: what stands before the 32 bytes of a key.
const ED25519_PREFIX = "302e020100300506032b657004220420";
const P256_PREFIX = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";

function made(prefix: string, seed: string, certificate: string): TestCredential {
  return {
    certificate: Uint8Array.from(atob(certificate), (character) => character.charCodeAt(0)),
    pkcs8: concatBytes(fromHex(prefix), fromHex(seed)),
  };
}

/** The CA of all the others but OTHER_*: Ed25519. */
export const CA_CREDENTIAL: TestCredential = made(
  ED25519_PREFIX,
  "aacda99ffffa4134aedbfb578ba355c78042b5918f2595f2226b02772e8fac6c",
  "MIIBFzCByqADAgECAgIQADAFBgMrZXAwEjEQMA4GA1UEAwwHVGVzdCBDQTAgFw0wMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowEjEQMA4GA1UEAwwHVGVzdCBDQTAqMAUGAytlcAMhAO/ky/6uGGTHx4plRyLCr6dtrmQ4ISxm80vL/IKtUg6wo0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUnGu3ecHguV3Zz3yhiH1nCvCYP+owBQYDK2VwA0EAzVZE1m76Or7CPIZZ9b5b/wgdulwGK3kcE5JmP7u4BB9PjYjL/wyjrnnPzQKfbU6YQswg6C+/npVtCRvjdfHZDQ==",
);

/** A CA that nobody trusts: Ed25519. */
export const OTHER_CA_CREDENTIAL: TestCredential = made(
  ED25519_PREFIX,
  "d2ae1e4889690e006ef793d089655f369e5b4202f328154700f7974544df42af",
  "MIIBGTCBzKADAgECAgIQATAFBgMrZXAwEzERMA8GA1UEAwwIT3RoZXIgQ0EwIBcNMDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBMxETAPBgNVBAMMCE90aGVyIENBMCowBQYDK2VwAyEAKTApqBlDWLTErD/fMK252gvMhZz3lD0T2QbitKAz6VujQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBQYoPfWJND15Eo0Glz7XaATQuuAIzAFBgMrZXADQQA1aSlKuVdqWwLDORaFReXWTeTTQMq2q+gIbFmmJy/VsLEyQ7n0VmgLXceSdwYUF/Ea0j8/7qHwLK0u8l61SmEE",
);

/** CN=localhost, SAN DNS:localhost and IP:127.0.0.1, serverAuth: Ed25519. */
export const SERVER_CREDENTIAL: TestCredential = made(
  ED25519_PREFIX,
  "9a5fed04335eec83bde7b487070aa10fa97c4b48baee7c8765c8e506f736c1e8",
  "MIIBazCCAR2gAwIBAgICEAIwBQYDK2VwMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwIBcNMDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDAqMAUGAytlcAMhABuJXKNNMz/zMCG1tGRllwNSkt/r9OWo1mWGegjfRW+no4GSMIGPMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQUgZJVSGn9ZP5Hd5pzaz6UmBw/pd0wHwYDVR0jBBgwFoAUnGu3ecHguV3Zz3yhiH1nCvCYP+owBQYDK2VwA0EABVXKNYp1dF6OMTYWn5hCxrG8pmQMY3Mdwi0EHizqlfmJrjYvXTuHLE2q8mt7roHyf7wGlVAjd6SRPzd2Pbe5DA==",
);

/** CN=test client, clientAuth: Ed25519. */
export const CLIENT_CREDENTIAL: TestCredential = made(
  ED25519_PREFIX,
  "7c9d46d56de3b09b602f404f0f0482ee8031bf5c9fad6dc1482cb1ef474f76c2",
  "MIIBTzCCAQGgAwIBAgICEAMwBQYDK2VwMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwIBcNMDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBYxFDASBgNVBAMMC3Rlc3QgY2xpZW50MCowBQYDK2VwAyEALKchCyLlD0lvwiRGoFVwqAQSfgKp7yNBXPOoqcbvXVGjdTBzMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMCMB0GA1UdDgQWBBQal+jBo25YTUcywcvvrHZxl006cTAfBgNVHSMEGDAWgBSca7d5weC5XdnPfKGIfWcK8Jg/6jAFBgMrZXADQQC2ZoFiSDsbBBqx4e2HKcaj+UbDOaGEdVppbS5minM8QNb3gGTJdSqbgWGH4BWNv4rJjmy2tbFKPi+3F3Ll3ZIE",
);

/** CN=other client, clientAuth, issued by OTHER_CA: Ed25519. */
export const OTHER_CLIENT_CREDENTIAL: TestCredential = made(
  ED25519_PREFIX,
  "82cdd95e7bb4db408ce0a5bce3b8da61f858b3ce06e72e5aed4e7988c547cc5f",
  "MIIBUTCCAQOgAwIBAgICEAQwBQYDK2VwMBMxETAPBgNVBAMMCE90aGVyIENBMCAXDTAwMDEwMTAwMDAwMFoYDzIxMDAwMTAxMDAwMDAwWjAXMRUwEwYDVQQDDAxvdGhlciBjbGllbnQwKjAFBgMrZXADIQD0HZ5yOc6CYKPiNYDO5Nf49iQWgLt/e+mI9OqIK8/U8aN1MHMwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0OBBYEFIdW6LkER7v2XRpnA9sXDG//2M1sMB8GA1UdIwQYMBaAFBig99Yk0PXkSjQaXPtdoBNC64AjMAUGAytlcANBACsP/sD5lr47CTmE6vNbNF9uEPJ1I7MplURAUHlkSCUTL29miijy988rthxDzOmQmyglpW951wM1w5ja/el7PQA=",
);

/** Like SERVER, with a key on P-256. */
export const P256_SERVER_CREDENTIAL: TestCredential = made(
  P256_PREFIX,
  "b48c2a49725d247a6801de8f39e175bd3203bfdf6ebddca7e50e103fd2c9ad6d",
  "MIIBmjCCAUygAwIBAgICEAUwBQYDK2VwMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwIBcNMDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGOkupVcAzLUW4wOL27O9Py3Zb+WzEhc5CBnJ8Oa5LVmONYlw6teOUruvMOA7HH4OSRICtPwGRHVvQtGfK94UbCjgZIwgY8wDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwEwGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMB0GA1UdDgQWBBTd1bHLf7D8P1+xoBfs8szSvRh//DAfBgNVHSMEGDAWgBSca7d5weC5XdnPfKGIfWcK8Jg/6jAFBgMrZXADQQAcq1ZOh++ndDMFyfMjzNQVOtflmV6iTQnnFOsSXRkwZa5fCz3oMfV8WZNxD4Ja+u/N3ICZcoh6YlpNiOQ2FIcO",
);

/** CN=test client P-256, clientAuth, with a key on P-256. */
export const P256_CLIENT_CREDENTIAL: TestCredential = made(
  P256_PREFIX,
  "71d2e576d2a8b7d3a6d0f83c1cea29e2ad953ec8c873061d81fff63609d0e0db",
  "MIIBhDCCATagAwIBAgICEAYwBQYDK2VwMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwIBcNMDAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBwxGjAYBgNVBAMMEXRlc3QgY2xpZW50IFAtMjU2MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEiL89HqTPtaR3yar7hWDtGW37Wav0MiGPdXwCzOSgQiJWcoM3m7POAWmv+WKXczRES+pDGTjuVyRVtbXFJVPoxKN1MHMwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0OBBYEFH35d+55v9RvSH6iR63xOcq1HI5FMB8GA1UdIwQYMBaAFJxrt3nB4Lld2c98oYh9ZwrwmD/qMAUGAytlcANBAO1m7vdj5cwc/azWQ49ZGAeRmxEMRFG3Y2UA/ku3FcVtUQJeLleF6nWQ+44I+oQmouAwuaKNoNNPatDAUV2eqAc=",
);

/** The credential as an association takes it, on the provider of node:crypto; `more` certificates follow the leaf. */
export function credential(
  { certificate, pkcs8 }: TestCredential,
  more: readonly Uint8Array[] = [],
): Credential {
  return { chain: [certificate, ...more], key: nodeProvider.signingKey(pkcs8) };
}

/** Accepts chains whose leaf one of these CAs issued; it looks at nothing else. The rest are `unknown-ca`. */
export function trusting(...cas: readonly TestCredential[]): PeerVerifier {
  const keys = cas.map((ca) => new X509Certificate(ca.certificate).publicKey);
  return (chain) => {
    const leaf = readCertificate(chain[0]!);
    if (!keys.some((key) => leaf.verify(key))) {
      throw new DtlsFault("unknown-ca", "issued by a CA that is not trusted");
    }
    return { publicKey: new Uint8Array(leaf.publicKey.export({ type: "spki", format: "der" })) };
  };
}

/** A certificate that a network may have damaged. */
function readCertificate(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw new DtlsFault("bad-certificate", "it cannot be read", { cause });
  }
}
