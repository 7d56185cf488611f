// Connections for the engine's own questions, which belong to no principal.

import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";

/** Waits for a connection, which is given back by `release`. Rejects with `SqpError`. */
export function borrow(pool: ConnectionPool): Promise<PostgresConnection> {
  return new Promise((onConnection, onError) => {
    pool.request({ principal: "", onConnection, onError });
  });
}

/** Runs with a connection, which is closed where that takes longer: then `run` fails. */
export async function within<Outcome>(
  connection: PostgresConnection,
  msMax: number,
  run: () => Promise<Outcome>,
): Promise<Outcome> {
  const timer = setTimeout(() => connection.destroy(), msMax);
  try {
    return await run();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs with a connection and gives it back. Whatever fails has left its transaction open, and is not lent again. One
 * that does not answer in time, because what is at its other end is gone, is closed: then `run` fails.
 */
export async function withOwn<Outcome>(
  { pool, msMax }: { readonly pool: ConnectionPool; readonly msMax: number },
  run: (connection: PostgresConnection) => Promise<Outcome>,
): Promise<Outcome> {
  const connection = await borrow(pool);
  try {
    return await within(connection, msMax, () => run(connection));
  } finally {
    pool.release(connection, performance.now());
  }
}
