// Certificates for both sides, in files as programs want them: an authority, a server and a client, of P-256 or RSA.

import {
  type CertificateAndKey,
  certificatesFromPem,
  privateKeyFromPem,
} from "../../src/dtls_runtime/mod.ts";
import {
  issueAuthority,
  issueClientCertificate,
  type IssuedCertificate,
  issueServerCertificate,
} from "../../src/server/certificate_issuer.ts";
import { asAuthority } from "../harness/issued.ts";

/** What the certificates are called in the folder. */
const NAMES = ["ca", "server", "client"] as const;

/**
 * Certificates in a folder: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`, and the same in DER.
 */
export interface ForeignCertificates {
  readonly folder: string;
  readonly ca: string;
  readonly server: CertificateAndKey;
  readonly client: CertificateAndKey;
}

/** Makes certificates on P-256. */
export async function makeP256Certificates(folder: string): Promise<ForeignCertificates> {
  const common = { days: 2, now: Date.now() };
  const ca = await issueAuthority({ ...common, commonName: "Foreign CA" });
  const authority = asAuthority(ca);
  const server = await issueServerCertificate(authority, {
    ...common,
    commonName: "localhost",
    altNames: ["localhost", "127.0.0.1"],
  });
  const client = await issueClientCertificate(authority, { ...common, commonName: "a client" });
  const issued: Record<typeof NAMES[number], IssuedCertificate> = { ca, server, client };
  for (const name of NAMES) {
    await Deno.writeTextFile(`${folder}/${name}.pem`, issued[name].certificatePem);
    await Deno.writeTextFile(`${folder}/${name}.key`, issued[name].privateKeyPem);
  }
  return readCertificates(folder);
}

/** Makes RSA certificates with the system's openssl. */
export async function makeRsaCertificates(folder: string): Promise<ForeignCertificates> {
  const openssl = async (...args: string[]) => {
    const { success, stderr } = await new Deno.Command("openssl", { args, cwd: folder }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  };
  const extensions = {
    ca: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
    server: "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    client: "extendedKeyUsage=clientAuth\n",
  };
  for (const name of NAMES) {
    const subject = `/CN=${name === "server" ? "localhost" : `a ${name}`}`;
    await Deno.writeTextFile(`${folder}/${name}.ext`, extensions[name]);
    const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`];
    await openssl("req", "-new", ...key, "-subj", subject, "-out", `${name}.csr`);
    const signer = name === "ca"
      ? ["-signkey", "ca.key"]
      : ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    const signed = ["-days", "2", "-extfile", `${name}.ext`, "-out", `${name}.pem`];
    await openssl("x509", "-req", "-in", `${name}.csr`, ...signer, ...signed);
  }
  return readCertificates(folder);
}

async function readCertificates(folder: string): Promise<ForeignCertificates> {
  const pair = async (name: string) => {
    const cert = await Deno.readTextFile(`${folder}/${name}.pem`);
    const key = await Deno.readTextFile(`${folder}/${name}.key`);
    await Deno.writeFile(`${folder}/${name}.der`, certificatesFromPem(cert)[0]!);
    await Deno.writeFile(`${folder}/${name}.key.der`, privateKeyFromPem(key).pkcs8);
    return { cert, key };
  };
  const { cert } = await pair("ca");
  return { folder, ca: cert, server: await pair("server"), client: await pair("client") };
}
