// Connections for the engine's own questions, which belong to no principal.

import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";

/** Waits for a connection, which is given back by `release`. Rejects with `SqpError`. */
export function borrow(pool: ConnectionPool): Promise<PostgresConnection> {
  return new Promise((onConnection, onError) => {
    pool.request({ principal: "", onConnection, onError });
  });
}

/** Runs with a connection and gives it back. Whatever fails has left its transaction open, and is not lent again. */
export async function withOwn<Outcome>(
  pool: ConnectionPool,
  run: (connection: PostgresConnection) => Promise<Outcome>,
): Promise<Outcome> {
  const connection = await borrow(pool);
  try {
    return await run(connection);
  } finally {
    pool.release(connection, performance.now());
  }
}
