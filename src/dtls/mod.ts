/**
 * DTLS 1.3 (RFC 9147) and 1.2 (RFC 6347) for JavaScript, without sockets, timers or clocks: feed datagrams and time,
 * drain datagrams and events.
 *
 * @module
 */

export { DtlsAssociation } from "./association.ts";
export type { AssociationCalls } from "./association_calls.ts";
export type { AssociationFacts } from "./association_facts.ts";
export type { AssociationState, DtlsEvent, MovedEvent } from "./association_event.ts";
export {
  DtlsEndpoint,
  ENDPOINT_CONNECTION_ID_BYTES,
  ENDPOINT_LIMITS,
  type EndpointAssociation,
  type EndpointDropReason,
  type EndpointLimits,
} from "./endpoint.ts";
export {
  alertFor,
  type AssociationError,
  DtlsAlertError,
  DtlsError,
  DtlsFault,
  type FaultReason,
  type LocalReason,
} from "./errors.ts";
export {
  type ClientCertificatePolicy,
  type Credential,
  type CredentialSelector,
  DEFAULT_CIPHER_SUITES,
  DEFAULT_GROUPS,
  type DtlsClientOptions,
  type DtlsOptions,
  type DtlsServerOptions,
  type DtlsVersion,
  type KeyLog,
  type PeerVerifier,
  type RetransmissionPolicy,
  type VerifiedPeer,
} from "./options.ts";
export type { PathPolicy } from "./association_path.ts";
export type { RoutabilityCount } from "./return_routability.ts";
export type { ConnectionIdSource } from "./connection_ids.ts";
export { AlertDescription, CipherSuite, NamedGroup, SignatureScheme } from "./code_points.ts";
export { ProtocolVersion } from "./code_points.ts";
export { decodeSession, type DtlsSession, encodeSession, eraseSession } from "./session.ts";
export {
  CACHED_SESSION_LIFETIME_MS,
  CACHED_SESSIONS_MAX,
  SessionCache,
  type SessionCacheOptions,
} from "./session_cache.ts";
export { isSessionUsable, type ResumableState } from "./session.ts";
export { TICKET_BYTES_MAX, TICKET_LIFETIME_MS, TicketKeys } from "./ticket_keys.ts";
export type { SingleUseTicket, TicketKey, TicketKeysOptions, TicketState } from "./ticket_keys.ts";
export type { ExternalPsk, OfferablePsk } from "./psk_importer.ts";
export type { OfferedPsks, PskIdentity } from "./pre_shared_key.ts";
export type { SelectedPsk } from "./psk_selection.ts";
export type { PskKind } from "./key_schedule.ts";
export { EARLY_DATA_WINDOW_MS, SingleUseTickets } from "./early_data.ts";
export type { CookieExemption, EarlyDataPolicy } from "./early_data.ts";
export type { EarlyDataEvent } from "./early_data_channel.ts";
export { DTLS_LIMITS, type DtlsLimits } from "./limits.ts";
export type { DtlsDropReason } from "./record_layer.ts";
export type { VouchingPsk } from "./early_handshake.ts";
export type { AcceptedHello } from "./server_hello.ts";
export { type KeyLogLabel, keyLogLine } from "./key_log.ts";
export type { AddressedDatagram, Core, Entropy, Milliseconds } from "../base/core.ts";
export { Counters } from "../base/counters.ts";
export type { CodePoint } from "../base/code_points.ts";
export type {
  Aead,
  AeadName,
  CryptoProvider,
  GroupName,
  Hash,
  HashName,
  KeyExchange,
  KeyShares,
  RecordNumberCipher,
  SignatureName,
  SigningKey,
} from "./crypto/provider.ts";
export {
  type ComposedProvider,
  fastestProvider,
  type PrimitiveName,
  PROVIDER_NAMES,
  ProviderAbsentError,
  providerByName,
  type ProviderName,
} from "./crypto/composed.ts";
export type { KeyKind } from "./crypto/der.ts";
export type { ClientHello } from "./hello_messages.ts";
export type { Extensions } from "./extensions.ts";
export * from "./x509/mod.ts";
export { clientVerifier, serverVerifier } from "./peer_verifier.ts";
