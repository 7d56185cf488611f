// Certificates for measuring, made anew: an authority, a server and a client of one kind of key.

import { systemEntropy } from "../../src/net/entropy.ts";
import type { CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import type { DtlsClientOptions, DtlsServerOptions } from "../../src/dtls/options.ts";
import { clientVerifier, serverVerifier } from "../../src/dtls/peer_verifier.ts";
import { privateKeyFromPem, TrustStore } from "../../src/dtls/x509/mod.ts";
import {
  issueAuthority,
  issueClientCertificate,
  type IssuedCertificate,
  issueServerCertificate,
  type KeyAlgorithm,
} from "../../src/server/certificate_issuer.ts";

const SERVER_NAME = "localhost";

/** Options of both ends with certificates of one kind of key. */
export interface BenchCredentials {
  readonly client: DtlsClientOptions;
  readonly server: DtlsServerOptions;
  /** Forgets which signatures were verified before, so that chains are verified as if seen first. */
  forgetVerified(): void;
}

/** Makes certificates. With `withClient`, clients have one and servers demand it. */
export async function benchCredentials(
  key: KeyAlgorithm,
  provider: CryptoProvider,
  withClient: boolean,
): Promise<BenchCredentials> {
  const options = { key, days: 1, now: Date.now() };
  const ca = await issueAuthority({ ...options, commonName: "Bench CA" });
  const { certificate } = ca;
  const authority = { certificate, privateKey: privateKeyFromPem(ca.privateKeyPem) };
  const server = await issueServerCertificate(authority, {
    ...options,
    commonName: SERVER_NAME,
    altNames: [SERVER_NAME],
  });
  const client = await issueClientCertificate(authority, { ...options, commonName: "client" });
  const newStore = () => new TrustStore({ trustAnchors: [certificate.der], provider });
  let clientStore = newStore();
  let serverStore = newStore();
  const credential = ({ certificate, privateKeyPem }: IssuedCertificate) => ({
    chain: [certificate.der],
    key: provider.signingKey(privateKeyFromPem(privateKeyPem).pkcs8),
  });
  return {
    client: {
      provider,
      entropy: systemEntropy,
      serverName: SERVER_NAME,
      verifyPeer: serverVerifier(() => clientStore, SERVER_NAME),
      ...(withClient && { credentials: [credential(client)] }),
    },
    server: {
      provider,
      entropy: systemEntropy,
      credentials: [credential(server)],
      verifyPeer: clientVerifier(() => serverStore),
      clientCertificate: withClient ? "required" : "none",
    },
    forgetVerified: () => {
      clientStore = newStore();
      serverStore = newStore();
    },
  };
}
