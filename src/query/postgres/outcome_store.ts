// Outcomes of writes that must take effect once, by principal and idempotency key, in a table of the database.
//
// Every role that writes may read and add to the table, and SQL text reaches it as well as the engine does. So nothing
// in it can be read, found or forged without a secret that only the owner's role can read: a key is known by an HMAC of
// it, and an outcome is sealed. No role but the owner's may change or remove a row.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { concatBytes, equalBytes } from "../../base/bytes.ts";
import { SqpError } from "../../wire/errors.ts";
import type { PostgresConnection } from "./connection.ts";
import { isDistributed } from "./distribution.ts";
import { fromPostgres } from "./postgres_errors.ts";

/** Made by the owner's role, in this order. A schema that is called like its user would be that user's default. */
const MAKE = [
  "CREATE SCHEMA IF NOT EXISTS sqp_engine",
  "CREATE TABLE IF NOT EXISTS sqp_engine.secret (only_one bool PRIMARY KEY CHECK (only_one), secret bytea NOT NULL)",
  // A key is claimed by part 0, with a hash of the command, before the write runs, and part 1 is its outcome.
  `CREATE TABLE IF NOT EXISTS sqp_engine.outcomes (
    id bytea NOT NULL,
    part int NOT NULL,
    content bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, part)
  )`,
  "CREATE INDEX IF NOT EXISTS outcomes_by_time ON sqp_engine.outcomes (stored_at)",
];
/** Whether the last of these is there. Where it is, the owner may be kept from making any, as on a server of shards. */
const IS_MADE = "SELECT pg_catalog.to_regclass('sqp_engine.outcomes_by_time'::text) IS NOT NULL";
/**
 * In a distributed database, tables that only one of its servers knows of. An outcome there and a write on another
 * server would be committed one after the other, and every server would have outcomes of its own.
 */
const FIND_UNSHARED = `
  SELECT c.oid::regclass::text FROM pg_catalog.pg_class c
  WHERE c.oid IN (pg_catalog.to_regclass('sqp_engine.secret'::text),
      pg_catalog.to_regclass('sqp_engine.outcomes'::text))
    AND c.oid NOT IN (SELECT logicalrelid::oid FROM pg_catalog.pg_dist_partition)`;
const SHARE = "SELECT pg_catalog.citus_add_local_table_to_metadata($1::text::regclass)";
/**
 * What others may do with the tables and must not: an owner's default privileges reach every table that it makes. The
 * values are compared as text: anybody may have made operators for the types that the view's columns have, and the
 * owner would run them.
 */
const FIND_GRANTS = `
  SELECT DISTINCT table_name, grantee FROM information_schema.role_table_grants
  WHERE table_schema::text = 'sqp_engine' AND grantee::text <> current_user::text
    AND NOT (table_name::text = 'outcomes' AND privilege_type::text IN ('SELECT', 'INSERT'))`;
const MAY_USE = `
  SELECT pg_catalog.has_schema_privilege($1::name, 'sqp_engine'::text, 'USAGE'::text)
    AND pg_catalog.has_table_privilege($1::name, 'sqp_engine.outcomes'::text, 'SELECT'::text)
    AND pg_catalog.has_table_privilege($1::name, 'sqp_engine.outcomes'::text, 'INSERT'::text)`;
const ADD_SECRET =
  "INSERT INTO sqp_engine.secret (only_one, secret) VALUES (true, $1) ON CONFLICT DO NOTHING";
const READ_SECRET = "SELECT pg_catalog.encode(secret, 'hex') FROM sqp_engine.secret";
const EXPIRE =
  "DELETE FROM sqp_engine.outcomes WHERE stored_at < now() - CAST($1 AS float8) * interval '1 ms'";
const CLAIM = `
  INSERT INTO sqp_engine.outcomes (id, part, content) VALUES ($1, 0, $2)
  ON CONFLICT DO NOTHING RETURNING 1`;
const STORE = "INSERT INTO sqp_engine.outcomes (id, part, content) VALUES ($1, 1, $2)";
const FIND = `
  SELECT pg_catalog.encode(content, 'hex') FROM sqp_engine.outcomes WHERE id = $1 ORDER BY part`;

const SECRET_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Times that making the tables is tried: several servers may do so at once. */
const ATTEMPTS_MAX = 5;

/** Whose command it is, and which. */
export interface OutcomeKey {
  readonly principal: string;
  readonly key: string;
  /** What the command does, by `commandHash`. */
  readonly hash: Uint8Array;
}

/** Runs a statement of the engine's own. */
type Ask = PostgresConnection["values"];

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const hex = (bytes: Uint8Array) => `\\x${bytes.toHex()}`;

/** The outcomes of one database. */
export class OutcomeStore {
  readonly #idKey: Uint8Array;
  readonly #sealKey: Uint8Array;

  private constructor(secret: Uint8Array) {
    const derive = (label: string) =>
      new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), label, SECRET_BYTES));
    this.#idKey = derive("sqp outcome id");
    this.#sealKey = derive("sqp outcome seal");
  }

  /** Opens the store as the owner, making it where there is none. Throws {@linkcode SqpError}. */
  static async open(asOwner: Ask): Promise<OutcomeStore> {
    await untilAlone(async () => {
      await makeTables(asOwner);
      for (const [table, grantee] of await asOwner(FIND_GRANTS)) {
        const from = grantee === "PUBLIC" ? "PUBLIC" : quoted(grantee!);
        const what = table === "secret" ? "ALL" : "UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER";
        await asOwner(`REVOKE ${what} ON sqp_engine.${table} FROM ${from}`);
      }
    });
    await asOwner(ADD_SECRET, [hex(randomBytes(SECRET_BYTES))]);
    const [row] = await asOwner(READ_SECRET);
    return new OutcomeStore(Uint8Array.fromHex(row![0]!));
  }

  /** Lets a role use the store. Throws {@linkcode SqpError}. */
  static async grant(asOwner: Ask, role: string): Promise<void> {
    const name = quoted(role);
    await untilAlone(async () => {
      const [mayUse] = await asOwner(MAY_USE, [role]);
      if (mayUse![0] === "t") return;
      await asOwner(`GRANT USAGE ON SCHEMA sqp_engine TO ${name}`);
      await asOwner(`GRANT SELECT, INSERT ON sqp_engine.outcomes TO ${name}`);
    });
  }

  /** Removes, as the owner, what has been kept for longer than that. Throws {@linkcode SqpError}. */
  static async expire(asOwner: Ask, outcomesMsMax: number): Promise<void> {
    await asOwner(EXPIRE, [String(outcomesMsMax)]);
  }

  /**
   * Claims a key in the transaction that is open, which waits for another one that has. Gives the outcome where the
   * command has run before. Throws {@linkcode SqpError}, `idempotency_mismatch` for another command.
   */
  async claim(ask: Ask, outcomeKey: OutcomeKey): Promise<Uint8Array | undefined> {
    const id = this.#id(outcomeKey);
    const content = this.#hmac(outcomeKey.hash);
    const claimed = await ask(CLAIM, [hex(id), hex(content)]);
    if (claimed.length > 0) return undefined;
    const found = (await ask(FIND, [hex(id)])).map(([part]) => Uint8Array.fromHex(part!));
    // In a stricter isolation than the default, what was stored just now cannot be seen.
    if (found.length < 2) throw new SqpError("serialization_failure");
    if (!equalBytes(found[0]!, content)) throw new SqpError("idempotency_mismatch");
    return this.#open(id, found[1]!);
  }

  /** Stores the outcome of a command whose key is claimed. Throws {@linkcode SqpError}. */
  async store(ask: Ask, outcomeKey: OutcomeKey, outcome: Uint8Array): Promise<void> {
    const id = this.#id(outcomeKey);
    await ask(STORE, [hex(id), hex(this.#seal(id, outcome))]);
  }

  /** What a key of a principal is known by; the length before the first keeps them apart. */
  #id({ principal, key }: OutcomeKey): Uint8Array {
    return this.#hmac(new TextEncoder().encode(`${principal.length}:${principal}${key}`));
  }

  #hmac(content: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#idKey).update(content).digest();
  }

  #seal(id: Uint8Array, outcome: Uint8Array): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#sealKey, nonce).setAAD(id);
    return concatBytes(nonce, cipher.update(outcome), cipher.final(), cipher.getAuthTag());
  }

  #open(id: Uint8Array, sealed: Uint8Array): Uint8Array {
    const tagAt = sealed.length - TAG_BYTES;
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", this.#sealKey, nonce).setAAD(id);
    decipher.setAuthTag(sealed.subarray(tagAt));
    try {
      const outcome = decipher.update(sealed.subarray(NONCE_BYTES, tagAt));
      return concatBytes(outcome, decipher.final());
    } catch (cause) {
      const message = "A stored outcome was changed by somebody else.";
      throw new SqpError("engine_failure", { message, cause });
    }
  }
}

/** Makes the tables where they are not there, and has all servers of a distributed database know them. */
async function makeTables(asOwner: Ask): Promise<void> {
  const [isMade] = await asOwner(IS_MADE);
  if (isMade![0] !== "t") {
    for (const sql of MAKE) await asOwner(sql);
  }
  if (!await isDistributed(asOwner)) return;
  for (const [table] of await asOwner(FIND_UNSHARED)) await asOwner(SHARE, [table!]);
}

/** Repeats what fails because another server does the same at the same time. Throws {@linkcode SqpError}. */
async function untilAlone(run: () => Promise<void>): Promise<void> {
  for (let attempts = 1;; attempts++) {
    try {
      return await run();
    } catch (thrown) {
      const error = fromPostgres(thrown);
      // unique_violation and duplicate_table of a catalog, "tuple concurrently updated".
      const isRace = ["23505", "42P07", "42P06", "XX000", "40001"].includes(
        String(error.engine?.code),
      );
      if (!isRace || attempts >= ATTEMPTS_MAX) throw error;
    }
  }
}
