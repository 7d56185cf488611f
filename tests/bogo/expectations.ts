// What the runner expects of a finished handshake.

import type { DtlsAssociation } from "../../src/dtls/association.ts";
import { equalBytes } from "../../src/base/bytes.ts";
import type { DtlsSession } from "../../src/dtls/session.ts";
import { VERSION_NUMBERS } from "../../src/dtls/versions.ts";
import { type NumberedCredential, readPsks } from "./credentials.ts";
import type { ConnectionFlags } from "./flags.ts";

/** Something is not as the runner said that it must be. */
export class ExpectationError extends Error {
  /** The type's name. */
  override readonly name = "ExpectationError";
}

function expectEqual(what: string, actual: unknown, wanted: unknown): void {
  if (actual !== wanted) throw new ExpectationError(`${what} is ${actual} instead of ${wanted}`);
}

/** Checks what the flags say about a handshake. Throws {@linkcode ExpectationError}. */
export function checkHandshake(
  flags: ConnectionFlags,
  association: DtlsAssociation,
  credentials: readonly NumberedCredential[],
  isResumption: boolean,
): void {
  if (flags.has("-handshake-never-done")) throw new ExpectationError("the handshake is complete");
  const isResumed = isResumption && !flags.has("-expect-session-miss");
  expectEqual("resumption", association.isResumed, isResumed);
  const version = flags.number("-expect-version");
  if (version !== undefined) expectEqual("the version", wireVersion(association), version);
  if (flags.has("-expect-hrr")) expectEqual("retry", association.isRetried, true);
  if (flags.has("-expect-no-hrr")) expectEqual("retry", association.isRetried, false);
  const cipher = flags.number("-expect-cipher");
  if (cipher !== undefined) expectEqual("the cipher suite", association.cipherSuite, cipher);
  const group = flags.number("-expect-curve-id");
  if (group !== undefined) expectEqual("the group", association.group, group);
  const serverName = flags.text("-expect-server-name");
  if (serverName !== undefined) expectEqual("the name", association.serverName, serverName);
  const alpn = flags.text(flags.has("-server") ? "-select-alpn" : "-expect-alpn");
  expectEqual("the protocol", association.alpn, alpn);
  const credential = flags.number("-expect-selected-credential");
  if (credential !== undefined) {
    expectEqual("the credential", selectedNumber(flags, association, credentials), credential);
  }
  const isPeerCertified = association.peerChain.length > 0;
  if (flags.has("-expect-no-peer-cert") || association.pskIdentity !== undefined) {
    expectEqual("the presence of a chain", isPeerCertified, false);
  } else if (!flags.has("-server") || flags.has("-require-any-client-certificate")) {
    expectEqual("the presence of a chain", isPeerCertified, true);
  }
}

function wireVersion({ version }: DtlsAssociation): number | undefined {
  return version === undefined ? undefined : VERSION_NUMBERS[version];
}

/** The runner's number of what this side proved itself with; -1 for its default credential, or for nothing. */
function selectedNumber(
  flags: ConnectionFlags,
  { credential, pskIdentity }: DtlsAssociation,
  credentials: readonly NumberedCredential[],
): number {
  const chosen = pskIdentity === undefined
    ? credentials.find((one) => one.credential === credential)
    : readPsks(flags).find(({ psk }) => equalBytes(psk.identity, pskIdentity));
  return chosen?.number ?? -1;
}

/** Checks what the flags say about the session that a client has at the end. */
export function checkSession(
  flags: ConnectionFlags,
  association: DtlsAssociation,
  session: DtlsSession | undefined,
): void {
  const isWritten = flags.has("-shim-shuts-down");
  if (flags.has("-server") || isWritten) return;
  // In DTLS 1.2 a resumption brings a new ticket only where the server renews it.
  const isNewExpected = association.version === "1.3" || !association.isResumed ||
    flags.has("-expect-ticket-renewal");
  const isExpected = isNewExpected && !flags.has("-expect-no-session");
  expectEqual("the presence of a new session", session !== undefined, isExpected);
  if (association.version !== "1.3" || session === undefined) return;
  const isForEarlyData = flags.has("-expect-ticket-supports-early-data");
  expectEqual("early data by ticket", session.earlyDataBytesMax > 0, isForEarlyData);
}
