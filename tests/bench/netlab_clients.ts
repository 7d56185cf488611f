// The clients of the comparison over netlab: one connection to each server, many point queries in flight on it, with
// a certificate of their own.

import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import postgres from "postgres";
import { connect } from "../../src/client/mod.ts";
import { RedisConnection, type Reply } from "./redis_connection.ts";

/** Where the servers listen. */
export const PORTS = { sqp: 4433, postgres: 5432, redis: 6379 } as const;
export type Peer = keyof typeof PORTS;

/** A connection to a server that keeps points. */
export interface PointClient extends AsyncDisposable {
  /** Stores points 1 to `count`, each with a name and a value. */
  fill(count: number): Promise<unknown>;
  /** Asks for a point by its number. Returns its name. */
  nameOf(id: number): Promise<unknown>;
}

/** Where a server is, and what a client shows and trusts there: PEM texts. */
export interface PeerAddress {
  readonly host: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The name in the server's certificate. */
const SERVER_NAME = "localhost";

const CREATE = "create table points (id integer primary key, name text, value real)";

async function connectSqp({ host, ...credentials }: PeerAddress): Promise<PointClient> {
  const options = { ...credentials, serverName: SERVER_NAME };
  const client = await connect(`sqp://${host}:${PORTS.sqp}`, options);
  return {
    async fill(count) {
      await client.execute(CREATE);
      await client.execute(
        `insert into points with recursive counter (n) as
         (select 1 union all select n + 1 from counter where n < ?)
         select n, 'point number ' || n, n * 1.5 from counter`,
        [count],
      );
    },
    async nameOf(id) {
      const sql = "select id, name, value from points where id = ?";
      return (await client.execute(sql, [id])).rows[0]?.[1];
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function connectPostgres({ host, ...credentials }: PeerAddress): PointClient {
  const sql = postgres({
    // Its types leave this option out. With a socket of its own it answers a fifth less: it waits (Nagle's algorithm).
    ...{ socket: () => openTcp(host, PORTS.postgres) },
    username: "postgres",
    database: "postgres",
    max: 1,
    fetch_types: false,
    ssl: { ...credentials, servername: SERVER_NAME },
  });
  return {
    async fill(count) {
      await sql.unsafe(CREATE);
      await sql`insert into points
        select n, 'point number ' || n, n * 1.5 from generate_series(1, ${count}::int) as n`;
    },
    async nameOf(id) {
      const [row] = await sql`select id, name, value from points where id = ${id}`;
      return row?.["name"];
    },
    [Symbol.asyncDispose]: () => sql.end(),
  };
}

async function connectRedis({ host, ...credentials }: PeerAddress): Promise<PointClient> {
  const socket = await openTcp(host, PORTS.redis);
  const secured = connectTls({ ...credentials, socket, servername: SERVER_NAME });
  await once(secured, "secureConnect");
  const connection = new RedisConnection(secured);
  return {
    fill: (count) =>
      Promise.all(Array.from({ length: count }, (_, at) => {
        const id = at + 1;
        const fields = ["id", `${id}`, "name", `point number ${id}`, "value", `${id * 1.5}`];
        return connection.send("HSET", `point:${id}`, ...fields);
      })),
    async nameOf(id) {
      const row = await connection.send("HMGET", `point:${id}`, "id", "name", "value");
      return (row as readonly Reply[])[1];
    },
    [Symbol.asyncDispose]: () => Promise.resolve(connection.close()),
  };
}

/** Opens a connection on which small writes do not wait for acknowledgements of the ones before. */
async function openTcp(host: string, port: number): Promise<Socket> {
  const socket = connectTcp({ host, port, noDelay: true });
  await once(socket, "connect");
  return socket;
}

/** Opens a connection to each server. */
export const CONNECT: Readonly<
  Record<Peer, (address: PeerAddress) => PointClient | Promise<PointClient>>
> = { sqp: connectSqp, postgres: connectPostgres, redis: connectRedis };
