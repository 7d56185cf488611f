// What both ends keep of an association so that another one can resume it, and a client's part of it as bytes to store.

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { isCodePoint } from "../base/code_points.ts";
import { ProtocolVersion } from "./code_points.ts";
import { DtlsError } from "./errors.ts";

/**
 * RFC 8446 section 4.6.1: "Clients MUST NOT cache tickets for longer than 7 days, regardless of the ticket_lifetime".
 * What a handshake with certificates has proved is not resumed for longer either, however often the ticket is renewed.
 */
export const SESSION_LIFETIME_MS_MAX: Milliseconds = 604_800_000;

/** Bytes of a session in storage. */
const SESSION_BYTES_MAX = 65_535;

const FORMAT = 1;

/** What the state of both ends has in common. */
export interface ResumableState {
  /** The version of the association: no other one resumes it. */
  readonly version: ProtocolVersion;
  /** The cipher suite of the association. */
  readonly suite: number;
  /** The PSK of the ticket; the master secret in DTLS 1.2. */
  readonly secret: Uint8Array;
  /** The server name that the client asked for: no other one resumes the association. */
  readonly serverName: string | undefined;
  /** The protocol that ALPN chose: no other one resumes the association. */
  readonly alpn: string | undefined;
  /** The peer's chain in DER, leaf first; empty where it presented none. It is verified again on resumption. */
  readonly peerChain: readonly Uint8Array[];
  /** The external PSK that vouched for both ends in place of certificates, if one did. */
  readonly pskIdentity: Uint8Array | undefined;
  /** When the handshake ended that the peer was authenticated in, however many resumptions ago. */
  readonly authenticatedAt: Milliseconds;
  /** What hides the age of the ticket (RFC 8446 section 4.6.1); 0 in DTLS 1.2. */
  readonly ageAdd: number;
  /** Bytes of early data that the ticket allows; 0 for none. */
  readonly earlyDataBytesMax: number;
}

/** What a client keeps of an association to resume it. Whoever has it can take the client's place. */
export interface DtlsSession extends ResumableState {
  /** The server's ticket; empty where DTLS 1.2 resumes by session ID. */
  readonly ticket: Uint8Array;
  /** The session ID of DTLS 1.2; empty in DTLS 1.3. */
  readonly sessionId: Uint8Array;
  /** How long the server takes the ticket for, from its receipt. */
  readonly lifetimeMs: Milliseconds;
  /** When the ticket was received. */
  readonly receivedAt: Milliseconds;
}

/** Whether a client may still offer a session. */
export function isSessionUsable(session: DtlsSession, now: Milliseconds): boolean {
  const { receivedAt, lifetimeMs, authenticatedAt } = session;
  // A clock that was set back tells no age.
  return receivedAt <= now && now - receivedAt < Math.min(lifetimeMs, SESSION_LIFETIME_MS_MAX) &&
    now - authenticatedAt < SESSION_LIFETIME_MS_MAX;
}

/** Zeroes the secret of a session, which cannot be resumed after that. */
export function eraseSession(session: DtlsSession): void {
  session.secret.fill(0);
}

/** A session as bytes to store; they are as secret as the session. Throws {@linkcode DtlsError} for one too large. */
export function encodeSession(session: DtlsSession): Uint8Array {
  const writer = new ByteWriter(1_024).u8(FORMAT);
  writeResumableState(writer, session);
  writer.opaque(2, session.ticket).opaque(1, session.sessionId)
    .u48(Math.floor(session.lifetimeMs)).u48(Math.floor(session.receivedAt));
  if (writer.length > SESSION_BYTES_MAX) {
    throw new DtlsError("bad-session", `a session of ${writer.length} bytes is too large to store`);
  }
  return writer.finish();
}

/** The session that {@linkcode encodeSession} made bytes of. Throws {@linkcode DtlsError} for any other bytes. */
export function decodeSession(bytes: Uint8Array): DtlsSession {
  try {
    if (bytes.length > SESSION_BYTES_MAX) throw new DecodeError("it is too large");
    const reader = new ByteReader(bytes.slice());
    if (reader.u8() !== FORMAT) throw new DecodeError("it has an unknown format");
    const session = {
      ...readResumableState(reader),
      ticket: reader.opaque(2),
      sessionId: reader.opaque(1, 0, 32),
      lifetimeMs: reader.u48(),
      receivedAt: reader.u48(),
    };
    reader.expectEnd();
    return session;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DtlsError("bad-session", `these bytes are no session: ${error.message}`, {
      cause: error,
    });
  }
}

/** Writes what {@linkcode readResumableState} reads. */
export function writeResumableState(writer: ByteWriter, state: ResumableState): void {
  writer.u16(state.version).u16(state.suite).opaque(1, state.secret)
    .text(1, state.serverName ?? "").text(1, state.alpn ?? "")
    .vector(3, () => {
      for (const certificate of state.peerChain) writer.opaque(3, certificate);
    })
    .opaque(2, state.pskIdentity ?? EMPTY_BYTES).u48(Math.floor(state.authenticatedAt)).u32(
      state.ageAdd,
    ).u32(state.earlyDataBytesMax);
}

/** Reads the common part of a state as views. Throws `DecodeError`. */
export function readResumableState(reader: ByteReader): ResumableState {
  const version = reader.u16();
  if (!isCodePoint(ProtocolVersion, version)) throw new DecodeError("it is of an unknown version");
  return {
    version,
    suite: reader.u16(),
    secret: reader.opaque(1, 1),
    // None of these is empty where there is one.
    serverName: readText(reader),
    alpn: readText(reader),
    peerChain: readChain(reader),
    pskIdentity: readIdentity(reader),
    authenticatedAt: reader.u48(),
    ageAdd: reader.u32(),
    earlyDataBytesMax: reader.u32(),
  };
}

function readText(reader: ByteReader): string | undefined {
  const lengthBytes = reader.u8();
  return lengthBytes === 0 ? undefined : reader.text(lengthBytes);
}

function readIdentity(reader: ByteReader): Uint8Array | undefined {
  const identity = reader.opaque(2);
  return identity.length === 0 ? undefined : identity;
}

function readChain(reader: ByteReader): Uint8Array[] {
  const list = reader.vector(3);
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) chain.push(list.opaque(3, 1));
  return chain;
}
