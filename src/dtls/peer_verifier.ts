// The verifier of peers by certificate path, which turns what validation finds into the faults of the handshake.

import { CertificateFault, type CertificateFaultReason } from "./x509/fault.ts";
import type { TrustStore } from "./x509/trust_store.ts";
import { DtlsFault, type FaultReason } from "./errors.ts";
import type { PeerVerifier } from "./options.ts";

/** RFC 8446 section 6.2, by what each certificate alert is said to be for. */
const FAULTS: Readonly<Record<CertificateFaultReason, FaultReason>> = {
  "malformed": "bad-certificate",
  "too-large": "bad-certificate",
  "chain-too-long": "bad-certificate",
  "too-many-paths": "bad-certificate",
  "unknown-ca": "unknown-ca",
  "bad-signature": "bad-certificate",
  "expired": "certificate-expired",
  "not-yet-valid": "certificate-expired",
  "revoked": "certificate-revoked",
  "name-mismatch": "bad-certificate",
  "wrong-purpose": "unsupported-certificate",
  "not-a-ca": "bad-certificate",
  "path-too-long": "bad-certificate",
  "missing-key-cert-sign": "bad-certificate",
  "missing-digital-signature": "unsupported-certificate",
  "unknown-critical-extension": "unsupported-certificate",
  "name-constraint": "bad-certificate",
  "unsupported-algorithm": "unsupported-certificate",
  "weak-key": "unsupported-certificate",
  "crl-missing": "certificate-unknown",
  "crl-expired": "certificate-unknown",
  "crl-not-yet-valid": "certificate-unknown",
  "crl-bad-signature": "certificate-unknown",
  "crl-missing-crl-sign": "certificate-unknown",
  "crl-unknown-critical-extension": "certificate-unknown",
};

/** A server's verifier of its clients' chains. `store` is asked each time, so that trust can change. */
export function clientVerifier(store: () => TrustStore): PeerVerifier {
  return (chain, now) =>
    refuseAsFault(() => store().validate({ chain, now, purpose: "clientAuth" }));
}

/** A client's verifier of the chain of the server that it calls `serverName` (a DNS name or an IP address). */
export function serverVerifier(store: () => TrustStore, serverName: string): PeerVerifier {
  return (chain, now) =>
    refuseAsFault(() => store().validate({ chain, now, purpose: "serverAuth", serverName }));
}

function refuseAsFault<Result>(validate: () => Result): Result {
  try {
    return validate();
  } catch (error) {
    if (!(error instanceof CertificateFault)) throw error;
    throw new DtlsFault(FAULTS[error.reason], error.message, { cause: error });
  }
}
