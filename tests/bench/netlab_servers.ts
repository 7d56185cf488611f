// The servers of the comparison over netlab, each in the server's namespace with the same certificates, which every
// client must match with one of its own.

import { denoProgram, LabServer, runInside, SERVER_HOST } from "./netlab_link.ts";
import { PORTS } from "./netlab_clients.ts";

/** Where Debian's packages put PostgreSQL, by version. */
const POSTGRES_VERSIONS = "/usr/lib/postgresql";
/** PostgreSQL does not run as root; its package makes this user. */
const POSTGRES_USER = "postgres";

/** A server that is not on this machine. */
export class NotInstalled extends Error {}

/** SQP with SQLite. */
export function startSqp(folder: string): Promise<LabServer> {
  const args = [
    ...["--listen", `${SERVER_HOST}:${PORTS.sqp}`, "--certs", folder],
    ...["--database", `${folder}/lab.sqlite`],
  ];
  return LabServer.start(denoProgram("src/cli/serve.ts", ...args), "stderr", "listening");
}

/** Redis over TLS, without persistence. Throws {@linkcode NotInstalled}. */
export async function startRedis(folder: string): Promise<LabServer> {
  try {
    await runInside("server", "redis-server", "--version");
  } catch {
    throw new NotInstalled("redis-server is not installed");
  }
  const settings = [
    ...["--bind", SERVER_HOST, "--protected-mode", "no"],
    ...["--port", "0", "--tls-port", `${PORTS.redis}`],
    ...["--tls-cert-file", `${folder}/server.pem`, "--tls-key-file", `${folder}/server.key`],
    ...["--tls-ca-cert-file", `${folder}/ca.pem`, "--tls-auth-clients", "yes"],
    ...["--dir", folder, "--save", "", "--appendonly", "no"],
  ];
  return await LabServer.start(["redis-server", ...settings], "stdout", "Ready to accept");
}

/** PostgreSQL over TLS. Throws {@linkcode NotInstalled}. */
export async function startPostgres(folder: string): Promise<LabServer> {
  const programs = await postgresPrograms();
  const own = `${folder}/postgres`;
  await Deno.mkdir(own);
  for (const name of ["ca.pem", "server.pem", "server.key"]) {
    await Deno.copyFile(`${folder}/${name}`, `${own}/${name}`);
  }
  await Deno.chmod(folder, 0o711);
  await runInside("server", "chown", "-R", `${POSTGRES_USER}:${POSTGRES_USER}`, own);
  const asUser = ["setpriv", `--reuid=${POSTGRES_USER}`, `--regid=${POSTGRES_USER}`];
  const program = (name: string) => [...asUser, "--clear-groups", `${programs}/${name}`];
  const data = `${own}/data`;
  await runInside("server", ...program("initdb"), "-D", data, "--auth=reject", "--no-sync");
  await Deno.writeTextFile(
    `${data}/pg_hba.conf`,
    "hostssl all all all trust clientcert=verify-ca\n",
  );
  const settings = {
    listen_addresses: SERVER_HOST,
    port: PORTS.postgres,
    unix_socket_directories: "",
    ssl: "on",
    ssl_cert_file: `${own}/server.pem`,
    ssl_key_file: `${own}/server.key`,
    ssl_ca_file: `${own}/ca.pem`,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const command = [...program("postgres"), "-D", data, ...args];
  return await LabServer.start(command, "stderr", "ready to accept connections");
}

/** The folder with the programs of the newest PostgreSQL on this machine. */
async function postgresPrograms(): Promise<string> {
  const versions: number[] = [];
  try {
    for await (const { name } of Deno.readDir(POSTGRES_VERSIONS)) versions.push(Number(name));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const newest = Math.max(...versions.filter(Number.isFinite));
  if (newest < 0) throw new NotInstalled("PostgreSQL is not installed");
  return `${POSTGRES_VERSIONS}/${newest}/bin`;
}
