// HandshakeRequest and HandshakeResponse: who the client is, and what both sides will keep to (PROTOCOL.md,
// "Handshake").

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { type ControlMap, decodeControl, encodeControl } from "./control.ts";
import { Fields } from "./control_fields.ts";
import { SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** The version of the protocol that this code speaks. */
export const PROTOCOL_VERSION = 1;

/** The serialization of control payloads that this code speaks. */
export const SERIALIZATION = "msgpack";

/** Bytes of the secret of a session. */
export const SESSION_SECRET_BYTES = 32;

/** How a client proves who it is. */
export type Credential =
  /** By the certificate of the DTLS handshake. */
  | { readonly type: "certificate" }
  | TokenCredential
  /** A kind of a later version, to be answered with `credential_kind_refused`. */
  | { readonly type: "unknown"; readonly name: string };

/** A JSON Web Token, with proof of its key where it is bound to one that is not the certificate's. */
export interface TokenCredential {
  readonly type: "token";
  readonly token: string;
  /** The public key whose thumbprint is the token's `jkt`, as a JSON Web Key. */
  readonly key?: string;
  /** The signature of that key over the exporter of the association. */
  readonly proof?: Uint8Array;
}

/** What a side is ready to receive and to bear. Sizes are bytes, times milliseconds. */
export interface SessionLimits {
  /** Requests that may be open at the same time. Only the server's counts. */
  readonly openRequests: number;
  /** Bytes of one message. */
  readonly messageBytes: number;
  /** Bytes of one encoded row. */
  readonly rowBytes: number;
  /** Bytes that the peer may send in the session before the first Credit. */
  readonly sessionCredit: number;
  /** Bytes that the peer may send on a new stream before the first Credit. */
  readonly streamCredit: number;
  /** Silence after which this side sends a Heartbeat. */
  readonly heartbeatMs: number;
  /** Silence after which this side takes the peer for dead. */
  readonly idleMs: number;
}

/** The limits that a side announces which has no reason for others. */
export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  openRequests: LIMITS.openRequestsMax,
  messageBytes: LIMITS.messageBytesMax,
  rowBytes: LIMITS.rowBytesMax,
  sessionCredit: LIMITS.sessionCreditBytes,
  streamCredit: LIMITS.streamCreditBytes,
  heartbeatMs: LIMITS.heartbeatMs,
  idleMs: LIMITS.idleMs,
};

/** The first message of a client. */
export interface HandshakeRequest {
  /** Versions of the protocol, the preferred first. */
  readonly versions: readonly number[];
  /** Serializations of control payloads, the preferred first. */
  readonly serialization: readonly string[];
  readonly capabilities: readonly string[];
  /** What the client is ready to receive. */
  readonly limits: SessionLimits;
  /** `null` where the client presents none. */
  readonly credential: Credential | null;
  /** Name and version of the client's software. */
  readonly agent?: string;
}

/** The answer to a client that was let in. */
export interface HandshakeResponse {
  readonly version: number;
  readonly serialization: string;
  /** Those of the client's that the server has too. */
  readonly capabilities: readonly string[];
  /** The same as in the header; never 0. */
  readonly sessionId: bigint;
  /** The secret of the session, {@linkcode SESSION_SECRET_BYTES} bytes. */
  readonly secret: Uint8Array;
  readonly principal: string;
  /** What the principal may do: `read`, `write`, `schema`, `subscribe`, `admin`. */
  readonly permissions: readonly string[];
  /** What the server is ready to receive and to bear. */
  readonly limits: SessionLimits;
  /** Name and version of the server's software. */
  readonly agent?: string;
}

const NAME = { minBytes: 1, maxBytes: LIMITS.nameBytesMax };

/** Encodes the request. Throws {@linkcode SqpError} `message_too_large` where it exceeds 8 KiB. */
export function encodeHandshakeRequest(request: HandshakeRequest): Uint8Array {
  return bounded(
    LIMITS.handshakeRequestBytesMax,
    encodeControl({
      versions: request.versions,
      serialization: request.serialization,
      capabilities: request.capabilities,
      limits: limitsMap(request.limits),
      credential: request.credential === null ? undefined : credentialMap(request.credential),
      agent: request.agent,
    }),
  );
}

/** Encodes the response. Throws {@linkcode SqpError} `message_too_large` where it exceeds 64 KiB. */
export function encodeHandshakeResponse(response: HandshakeResponse): Uint8Array {
  return bounded(
    LIMITS.handshakeResponseBytesMax,
    encodeControl({
      version: response.version,
      serialization: response.serialization,
      capabilities: response.capabilities,
      session_id: new ByteWriter(8).u64(response.sessionId).finish(),
      secret: response.secret,
      principal: response.principal,
      permissions: response.permissions,
      limits: limitsMap(response.limits),
      agent: response.agent,
    }),
  );
}

function bounded(maxBytes: number, payload: Uint8Array): Uint8Array {
  if (payload.length > maxBytes) {
    throw new SqpError("message_too_large", {
      message: `A handshake message is larger than ${maxBytes} bytes.`,
    });
  }
  return payload;
}

function credentialMap(credential: Credential): ControlMap {
  if (credential.type === "certificate") return { type: credential.type };
  if (credential.type === "unknown") return { type: credential.name };
  const { type, token, key, proof } = credential;
  return { type, token, key, proof };
}

function limitsMap(limits: SessionLimits): ControlMap {
  return {
    open_requests: limits.openRequests,
    message_bytes: limits.messageBytes,
    row_bytes: limits.rowBytes,
    session_credit: limits.sessionCredit,
    stream_credit: limits.streamCredit,
    heartbeat_ms: limits.heartbeatMs,
    idle_ms: limits.idleMs,
  };
}

/** Decodes a request. Throws {@linkcode DecodeError}. */
export function decodeHandshakeRequest(payload: Uint8Array): HandshakeRequest {
  const fields = openHandshake(payload, LIMITS.handshakeRequestBytesMax);
  const credential = fields.optionalMap("credential");
  const agent = fields.optionalText("agent", NAME);
  return {
    versions: fields.list("versions", LIMITS.nameListMax).ints(1, 0xffff),
    serialization: fields.list("serialization", LIMITS.nameListMax).texts(NAME),
    capabilities: readNames(fields, "capabilities"),
    limits: readLimits(fields, LIMITS.sessionCreditInitialServer),
    credential: credential === undefined ? null : readCredential(credential),
    ...(agent !== undefined && { agent }),
  };
}

/** Decodes a response. Throws {@linkcode DecodeError}. */
export function decodeHandshakeResponse(payload: Uint8Array): HandshakeResponse {
  const fields = openHandshake(payload, LIMITS.handshakeResponseBytesMax);
  const secret = { minBytes: SESSION_SECRET_BYTES, maxBytes: SESSION_SECRET_BYTES };
  const sessionId = new ByteReader(fields.bytes("session_id", { minBytes: 8, maxBytes: 8 })).u64();
  if (sessionId === 0n) throw new DecodeError("the session id is 0");
  const agent = fields.optionalText("agent", NAME);
  return {
    version: fields.int("version", 1, 0xffff),
    serialization: fields.text("serialization", NAME),
    capabilities: readNames(fields, "capabilities"),
    sessionId,
    secret: fields.bytes("secret", secret),
    principal: fields.text("principal", { minBytes: 1, maxBytes: LIMITS.principalBytesMax }),
    permissions: readNames(fields, "permissions"),
    limits: readLimits(fields, LIMITS.sessionCreditInitialClient),
    ...(agent !== undefined && { agent }),
  };
}

function openHandshake(payload: Uint8Array, maxBytes: number): Fields {
  if (payload.length > maxBytes) throw new DecodeError("a handshake message is too large");
  return decodeControl(payload);
}

function readNames(fields: Fields, key: string): string[] {
  return fields.optionalList(key, LIMITS.nameListMax)?.texts(NAME) ?? [];
}

function readCredential(fields: Fields): Credential {
  const type = fields.text("type", NAME);
  if (type === "certificate") return { type };
  if (type !== "token") return { type: "unknown", name: type };
  const key = fields.optionalText("key", { minBytes: 1 });
  const proof = fields.optionalBytes("proof", { minBytes: 1 });
  return {
    type,
    token: fields.text("token", { minBytes: 1 }),
    ...(key !== undefined && { key }),
    ...(proof !== undefined && { proof }),
  };
}

/**
 * The announced limits. Credit that is not announced stays what it is before the handshake; for the others there are
 * defaults.
 */
function readLimits(fields: Fields, sessionCreditInitial: number): SessionLimits {
  const limits = fields.optionalMap("limits") ?? new Fields({});
  const standard = DEFAULT_SESSION_LIMITS;
  return {
    openRequests: limits.optionalInt("open_requests", 1) ?? standard.openRequests,
    messageBytes: limits.optionalInt("message_bytes", 1) ?? standard.messageBytes,
    rowBytes: limits.optionalInt("row_bytes", 1) ?? standard.rowBytes,
    sessionCredit: limits.optionalInt("session_credit") ?? sessionCreditInitial,
    streamCredit: limits.optionalInt("stream_credit") ?? LIMITS.streamCreditInitial,
    heartbeatMs: limits.optionalInt("heartbeat_ms", 1) ?? standard.heartbeatMs,
    idleMs: limits.optionalInt("idle_ms", 1) ?? standard.idleMs,
  };
}
