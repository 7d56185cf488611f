// The two ways in which certificate validation fails: the peer's fault, and our own configuration's.

/** Why a peer's certificates are refused. The names are stable: a caller chooses the TLS alert by them. */
export const CERTIFICATE_FAULT_REASONS = [
  /** Not a certificate in DER, or one that breaks the syntax of RFC 5280. */
  "malformed",
  /** A certificate is larger than the limit. */
  "too-large",
  /** More certificates than the limit. */
  "chain-too-long",
  /** The search for a path was given up at its limit. */
  "too-many-paths",
  /** No path leads to a trust anchor. */
  "unknown-ca",
  "bad-signature",
  "expired",
  "not-yet-valid",
  "revoked",
  /** The certificate does not carry the server name that was asked for. */
  "name-mismatch",
  /** Extended key usage excludes the purpose. */
  "wrong-purpose",
  /** An issuer in the path has no basicConstraints with cA. */
  "not-a-ca",
  /** An issuer's pathLenConstraint is exceeded. */
  "path-too-long",
  /** An issuer's key usage lacks keyCertSign. */
  "missing-key-cert-sign",
  /** The leaf's key usage lacks digitalSignature. */
  "missing-digital-signature",
  "unknown-critical-extension",
  /** A name is outside the name constraints of an issuer, or under a constraint that cannot be checked. */
  "name-constraint",
  /** A signature or key algorithm that is not supported, SHA-1 and MD5 included. */
  "unsupported-algorithm",
  "weak-key",
  /** Revocation lists were demanded, and there is none of the issuer's. */
  "crl-missing",
  /** The issuer's revocation list is past its nextUpdate, or has none. */
  "crl-expired",
  "crl-not-yet-valid",
  "crl-bad-signature",
  /** The issuer's key usage lacks cRLSign. */
  "crl-missing-crl-sign",
  /** The issuer's revocation list is one of a kind that is not supported (delta, indirect, partial). */
  "crl-unknown-critical-extension",
] as const;

/** One of {@linkcode CERTIFICATE_FAULT_REASONS}. */
export type CertificateFaultReason = typeof CERTIFICATE_FAULT_REASONS[number];

/** A peer's certificates are refused. */
export class CertificateFault extends Error {
  /** The type's name. */
  override readonly name = "CertificateFault";
  /** Why, for the choice of an alert. */
  readonly reason: CertificateFaultReason;

  /** A fault of this reason, with a detail for a person. */
  constructor(reason: CertificateFaultReason, detail: string) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
  }
}

/** Our own trust anchors or revocation lists cannot be used: a fault of the configuration, not of a peer. */
export class TrustStoreError extends Error {
  /** The type's name. */
  override readonly name = "TrustStoreError";
}
