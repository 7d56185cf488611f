// X.509 certificates for DTLS: reading, path validation, PEM, and whom a certificate speaks for.

export { isChainOfAuthorities } from "./authority_names.ts";
export { parseCertificate, type ParsedCertificate } from "./certificate.ts";
export { parseCrl, type ParsedCrl, type RevokedCertificate } from "./crl.ts";
export type { DistinguishedName, NameAttribute } from "./distinguished_name.ts";
export { equalNames, nameText } from "./distinguished_name.ts";
export type {
  BasicConstraints,
  CertificateExtensions,
  NameConstraints,
  NameSubtree,
} from "./extensions.ts";
export type { GeneralName } from "./general_name.ts";
export {
  CERTIFICATE_FAULT_REASONS,
  CertificateFault,
  type CertificateFaultReason,
  TrustStoreError,
} from "./fault.ts";
export {
  certificateFingerprint,
  certificatePrincipal,
  certificateSubjectText,
  PRINCIPAL_LENGTH_MAX,
} from "./identity.ts";
export { ipAddressText, parseIpAddress } from "./ip_address.ts";
export type { CertificatePurpose } from "./path_checks.ts";
export type { CertificatePath } from "./path_search.ts";
export {
  certificatesFromPem,
  crlsFromPem,
  parsePem,
  PEM_TEXT_LENGTH_MAX,
  type PemBlock,
  PemError,
  type PemErrorReason,
  PemLabel,
  type PemPrivateKey,
  pemText,
  privateKeyFromPem,
} from "./pem.ts";
export { certificateHasServerName } from "./server_name.ts";
export type { PublicKeyInfo, PublicKeyKind, SignatureAlgorithm } from "./signature.ts";
export {
  type CertificateChainQuery,
  type CertificateLimits,
  DEFAULT_CERTIFICATE_LIMITS,
  type RevocationPolicy,
  TrustStore,
  type TrustStoreOptions,
  validateCertificatePath,
  type ValidatedCertificate,
} from "./trust_store.ts";
