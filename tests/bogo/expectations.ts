// What the runner expects of a finished handshake.

import type { DtlsAssociation } from "../../src/dtls/association.ts";
import type { NumberedCredential } from "./credentials.ts";
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
): void {
  if (flags.has("-handshake-never-done")) throw new ExpectationError("the handshake is complete");
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
    const chosen = credentials.find((one) => one.credential === association.credential);
    expectEqual("the credential", chosen?.number ?? -1, credential);
  }
  const isPeerCertified = association.peerChain.length > 0;
  if (flags.has("-expect-no-peer-cert")) {
    expectEqual("the presence of a chain", isPeerCertified, false);
  } else if (!flags.has("-server") || flags.has("-require-any-client-certificate")) {
    expectEqual("the presence of a chain", isPeerCertified, true);
  }
}
