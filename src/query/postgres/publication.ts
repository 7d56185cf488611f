// The publication that says which tables are decoded.

import type { PostgresConnection } from "./connection.ts";

/** Its name. */
export const PUBLICATION = "sqp_feeds";

/** What stands before the messages by which it is found out how far the decoder is. */
export const MARK_PREFIX = "sqp_feeds";

/** Whether there is a publication that does what it was made for. */
const PUBLICATION_WORKS = `SELECT EXISTS (
  SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = '${PUBLICATION}'::name
    AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
    AND NOT p.puballtables AND NOT p.pubviaroot)`;

/** Makes it anew: whoever relies on the one before sees that. */
export const MAKE_PUBLICATION = [
  `DROP PUBLICATION IF EXISTS ${PUBLICATION}`,
  `CREATE PUBLICATION ${PUBLICATION}`,
];

/** Makes the publication where it is gone or does something else. Throws `SqpError`. */
export async function providePublication(connection: PostgresConnection): Promise<void> {
  const [works] = await connection.values(PUBLICATION_WORKS);
  if (works![0] === "t") return;
  for (const sql of MAKE_PUBLICATION) await connection.values(sql);
}
