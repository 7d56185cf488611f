// What makes two commands the same to an idempotency key.

import { createHash } from "node:crypto";
import { encodeQuery } from "../wire/query_payload.ts";
import type { BatchCommand, ExecuteCommand } from "./engine.ts";

/**
 * The SHA-256 of what a command does: its statements, parameters and conditions, without its deadline and its key.
 * Outcomes are stored beside it, so it must not change between versions.
 */
export function commandHash(command: ExecuteCommand | BatchCommand): Uint8Array {
  const content = "steps" in command
    ? encodeQuery({ cmd: "batch", steps: command.steps })
    : encodeQuery({ cmd: "execute", sql: command.sql, params: command.params });
  return createHash("sha256").update(content).digest();
}
