// The program that BoringSSL's test runner, BoGo, drives to hold this library to account (its ssl/test/PORTING.md): it
// connects to the runner, plays the client or the server that the flags ask for, and says by its exit code and on
// stderr what came of it.

import { SessionCache } from "../../src/dtls/session_cache.ts";
import { DtlsAlertError, DtlsError, DtlsFault } from "../../src/dtls/errors.ts";
import { ticketKeys } from "./association_options.ts";
import { runExchange, RunnerGoneError } from "./exchange.ts";
import { ExpectationError } from "./expectations.ts";
import { readFlags, type ShimFlags, UnknownFlagError } from "./flags.ts";
import { PacketConnection } from "./packet_connection.ts";

/** Exit codes, as the runner understands them. */
const ExitCode = { success: 0, failure: 1, unimplemented: 89, mustFail: 90 } as const;

/** When the fake clock begins: early enough for microseconds to be exact. */
const START_MS = 1_000_000;

async function main(args: readonly string[]): Promise<number> {
  let flags: ShimFlags;
  try {
    flags = readFlags(args);
    if (flags.initial.has("-is-handshaker-supported")) {
      await print(Deno.stdout, "No\n");
      return ExitCode.success;
    }
    await runConnections(flags);
    return ExitCode.success;
  } catch (error) {
    await print(Deno.stderr, `${errorLine(error)}\n`);
    if (error instanceof UnknownFlagError) return ExitCode.unimplemented;
    return isExpectable(error) ? ExitCode.failure : ExitCode.mustFail;
  }
}

async function runConnections(flags: ShimFlags): Promise<void> {
  const state = {
    nowMs: START_MS,
    tickets: ticketKeys(START_MS),
    sessionCache: new SessionCache(),
  };
  const { initial } = flags;
  const connections = 1 + (initial.number("-resume-count") ?? 0);
  for (let at = 0; at < connections; at++) {
    const shimId = BigInt(initial.text("-shim-id") ?? 0);
    const port = initial.number("-port") ?? 0;
    const connection = await PacketConnection.connect(initial.has("-ipv6"), port, shimId);
    try {
      await runExchange(at === 0 ? initial : flags.resume, connection, state, at > 0);
      // A ticket of DTLS 1.2 is renewed in the second half of its life.
      if (initial.has("-renew-ticket")) state.nowMs += 0.6 * state.tickets.lifetimeMs;
    } finally {
      await connection.close();
    }
  }
}

/** A test may expect an association to fail; any other error is a defect, whatever the test expects. */
function isExpectable(error: unknown): boolean {
  return error instanceof DtlsFault || error instanceof DtlsAlertError ||
    error instanceof DtlsError && error.reason !== "internal" || error instanceof RunnerGoneError;
}

/** What went wrong, the reason between colons as config.json's ErrorMap has it. */
function errorLine(error: unknown): string {
  if (error instanceof DtlsAlertError) return `:alert-${error.description}: ${error.message}`;
  if (error instanceof DtlsFault || error instanceof DtlsError) {
    return `:${error.reason}: ${error.message}`;
  }
  if (error instanceof UnknownFlagError) return `unimplemented: ${error.message}`;
  if (error instanceof RunnerGoneError) return error.message;
  if (error instanceof ExpectationError) return `expectation: ${error.message}`;
  return `crash: ${error instanceof Error ? error.stack : error}`;
}

async function print(stream: typeof Deno.stderr, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await stream.write(bytes.subarray(at));
}

Deno.exit(await main(Deno.args));
