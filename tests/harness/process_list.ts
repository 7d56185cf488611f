// Prints the processes of this machine, for tests that may not start `ps` themselves. Exit code 1 where there is none.

function list(): number {
  try {
    const { stdout } = new Deno.Command("ps", { args: ["-A", "-ww", "-o", "pid=,args="] })
      .outputSync();
    Deno.stdout.writeSync(stdout);
    return 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 1;
    throw error;
  }
}

if (import.meta.main) Deno.exit(list());
