// A PostgreSQL server of Debian's package for tests: in a folder of its own, on loopback, as a user without rights.

import postgres from "postgres";
import { canUseFiles } from "./folder.ts";
import { granted } from "./permissions.ts";

/** Where Debian's packages put PostgreSQL, by version. */
const VERSIONS = "/usr/lib/postgresql";
/** PostgreSQL refuses to run as root: `nobody` runs it then. */
const NOBODY = 65_534;
const HOST = "127.0.0.1";
const SUPERUSER = "postgres";
/** The login of all permissions; those of fewer have their names behind it. */
const OWNER = "sqp";
const PASSWORD = "secret";

/** A login for each set of permissions, as the README has it. */
const ROLES = [OWNER, "sqp_read", "sqp_write", "sqp_schema", "sqp_read_write", "sqp_write_schema"];

/** What the driver looks for, whatever it is told. */
const ENVIRONMENT = ["PGAPPNAME", "PGTARGETSESSIONATTRS"].map((variable) =>
  ({ name: "env", variable }) as const
);

/** The folder with the programs of the newest PostgreSQL on this machine, `undefined` where there is none. */
function findPrograms(): string | undefined {
  if (!granted({ name: "read", path: VERSIONS })) return undefined;
  try {
    const versions = [...Deno.readDirSync(VERSIONS)].map(({ name }) => Number(name));
    const newest = Math.max(...versions.filter(Number.isFinite));
    return newest > 0 ? `${VERSIONS}/${newest}/bin` : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Why tests with a PostgreSQL server cannot run here; `undefined` where they can. */
export function whyNoPostgres(): string | undefined {
  const isAllowed = canUseFiles() && granted({ name: "run", command: "setpriv" }) &&
    granted({ name: "net", host: HOST }, ...ENVIRONMENT);
  if (!isAllowed) return "a permission is missing";
  if (findPrograms() === undefined) return `PostgreSQL is not installed in ${VERSIONS}`;
  return undefined;
}

/** A port that nobody listens on. */
function freePort(): number {
  using listener = Deno.listen({ hostname: HOST, port: 0 });
  return listener.addr.port;
}

/** How changes are captured for feeds, and the settings of a server that has it done so. */
export const CAPTURES = {
  triggers: {},
  decoding: { wal_level: "logical", max_slot_wal_keep_size: "1GB" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What Citus is asked for: which tables are distributed, how one is made so, and which server this is. */
const DISTRIBUTION = `
  SET allow_system_table_mods = on;
  CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass NOT NULL);
  GRANT SELECT, INSERT ON pg_catalog.pg_dist_partition TO PUBLIC;
  CREATE TABLE pg_catalog.pg_dist_local_group AS SELECT 0 AS groupid;
  GRANT SELECT, UPDATE ON pg_catalog.pg_dist_local_group TO PUBLIC;
  CREATE FUNCTION pg_catalog.citus_add_local_table_to_metadata(regclass) RETURNS void LANGUAGE sql
    AS 'INSERT INTO pg_catalog.pg_dist_partition VALUES ($1)'`;

/** A running server. */
export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly #program: (name: string) => string[];
  #settings: Readonly<Record<string, string>> = {};
  #process: Deno.ChildProcess | undefined;

  private constructor(folder: string, program: (name: string) => string[]) {
    this.folder = folder;
    this.port = freePort();
    this.#program = program;
  }

  /** Makes a database cluster in a new folder and starts its server; `tls` is its certificate and key in PEM. */
  static async start(
    settings: Readonly<Record<string, string>> = {},
    tls?: { readonly certificate: string; readonly key: string },
  ): Promise<PostgresServer> {
    const folder = await Deno.makeTempDir({ prefix: "sqp-test-", dir: "/tmp" });
    // What a test makes belongs to whoever runs it.
    const isRoot = (await Deno.stat(folder)).uid === 0;
    const user = isRoot ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];
    const server = new PostgresServer(folder, (name) => [...user, `${findPrograms()}/${name}`]);
    await Deno.chmod(folder, 0o777);
    await Deno.writeTextFile(`${folder}/password`, PASSWORD);
    await server.#run("initdb", [
      ...[
        "-D",
        server.#data,
        "-U",
        SUPERUSER,
        "-A",
        "scram-sha-256",
        `--pwfile=${folder}/password`,
      ],
      ...["--no-sync", "--locale=C", "--encoding=UTF8", "--no-instructions"],
    ]);
    if (tls !== undefined) {
      await Deno.writeTextFile(`${server.#data}/server.crt`, tls.certificate);
      const key = `${server.#data}/server.key`;
      await Deno.writeTextFile(key, tls.key, { mode: 0o600 });
      if (isRoot) await Deno.chown(key, NOBODY, NOBODY);
    }
    server.#settings = { ...settings, ...(tls !== undefined && { ssl: "on" }) };
    await server.restart();
    const sql = server.connect("postgres");
    for (const role of ROLES) {
      await sql.unsafe(`create role ${role} login password '${PASSWORD}'`);
    }
    if (settings.wal_level === "logical") await sql.unsafe(`alter role ${OWNER} replication`);
    await sql.end();
    return server;
  }

  get #data(): string {
    return `${this.folder}/data`;
  }

  async #run(name: string, args: string[]): Promise<void> {
    const command = new Deno.Command("setpriv", {
      args: [...this.#program(name), ...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      cwd: this.folder,
    });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(`${name}: ${new TextDecoder().decode(stderr)}`);
  }

  /** Starts the server, again if it was stopped, with the settings of before. */
  async restart(): Promise<void> {
    const all = {
      listen_addresses: HOST,
      port: String(this.port),
      unix_socket_directories: "",
      fsync: "off",
      max_connections: "60",
      ...this.#settings,
    };
    this.#process = new Deno.Command("setpriv", {
      args: [
        ...[...this.#program("postgres"), "-D", this.#data],
        ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      cwd: this.folder,
    }).spawn();
    while (!await this.#accepts()) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async #accepts(): Promise<boolean> {
    const sql = this.connect("postgres");
    try {
      await sql`select 1`;
      return true;
    } catch {
      return false;
    } finally {
      await sql.end();
    }
  }

  /** The URL of a database, for a user whose password is that of all. */
  url(database: string, user = OWNER): string {
    return `postgres://${user}:${PASSWORD}@${HOST}:${this.port}/${database}`;
  }

  /** The driver itself, as the superuser. */
  connect(database: string): ReturnType<typeof postgres> {
    const options = {
      ...{ host: HOST, port: this.port, user: SUPERUSER, pass: () => PASSWORD, database },
      // Every setting is given, so that none is looked for in the environment.
      ...{ max: 1, ssl: false, sslnegotiation: null, connect_timeout: 5, max_pipeline: 100 },
      ...{ backoff: 0, keep_alive: 60, prepare: true, debug: false, publications: "" },
      ...{ target_session_attrs: null, fetch_types: false, idle_timeout: 0, max_lifetime: 0 },
      onnotice() {},
    };
    return postgres(options as unknown as Parameters<typeof postgres>[0]);
  }

  /** Makes an empty database, in which each login may do what its permissions say. */
  async makeDatabase(name: string): Promise<void> {
    const sql = this.connect("postgres");
    // Whoever streams its changes may need a moment to notice that nobody reads them.
    for (let readers = 1; readers > 0;) {
      [{ readers }] = await sql`
        select count(active_pid)::int as readers from pg_replication_slots where database = ${name}`;
      if (readers > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await sql.unsafe(`drop database if exists ${name} with (force)`);
    await sql.unsafe(`create database ${name} owner ${OWNER}`);
    await sql.end();
    const own = this.connect(name);
    await own.unsafe(`
      grant create on schema public to sqp_schema, sqp_write_schema;
      alter default privileges for role ${OWNER}
        grant select on tables to sqp_read, sqp_read_write;
      alter default privileges for role ${OWNER}
        grant insert, update, delete on tables to sqp_write, sqp_read_write, sqp_write_schema;
      revoke execute on function pg_cancel_backend, pg_terminate_backend, pg_stat_get_activity
        from public;
    `);
    await own.end();
  }

  /** Has a database look as if Citus had spread it over several servers. */
  async distribute(name: string): Promise<void> {
    const sql = this.connect(name);
    await sql.unsafe(DISTRIBUTION);
    await sql.end();
  }

  /** The process numbers of a user's sessions. */
  async backends(user: string): Promise<number[]> {
    const sql = this.connect("postgres");
    const rows = await sql`select pid from pg_stat_activity where usename = ${user}`;
    await sql.end();
    return rows.map(({ pid }) => pid as number);
  }

  /** Ends a user's sessions, as an administrator does. */
  async terminate(user: string): Promise<void> {
    const sql = this.connect("postgres");
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${user}`;
    await sql.end();
  }

  /** Stops the server as a loss of power would: at once. */
  async crash(): Promise<void> {
    this.#process!.kill("SIGQUIT");
    await this.#process!.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash();
    await Deno.remove(this.folder, { recursive: true });
  }
}
