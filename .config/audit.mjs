// Fails for a high or critical fault in what production installs, if a fixed version exists.
// A registry that cannot be reached fails nothing: the check must also pass offline.
import { spawnSync } from 'node:child_process';

const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
  cwd: new URL('..', import.meta.url).pathname,
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  timeout: 60_000,
});

const faults = readFaults(stdout);
if (faults === undefined) {
  console.log('audit: registry did not answer, skipped');
} else {
  const serious = faults.filter(({ severity }) => severity === 'high' || severity === 'critical');
  for (const fault of serious) {
    const titles = fault.via.map((cause) => (typeof cause === 'string' ? cause : `${cause.title} (${cause.url})`));
    console.log(
      `audit: ${fault.severity}, ${fault.fixAvailable ? 'fix available' : 'no fix yet'}: ${fault.name}: ${titles.join('; ')}`,
    );
  }
  const fixable = serious.filter(({ fixAvailable }) => Boolean(fixAvailable));
  console.log(
    `audit: ${faults.length} known faults, ${serious.length} high or critical, ${fixable.length} of those fixable`,
  );
  if (fixable.length > 0) process.exitCode = 1;
}

/** The faults that npm reports, or undefined when it got no answer (it then prints an error object or nothing). */
function readFaults(text) {
  try {
    const report = JSON.parse(text);
    return report.vulnerabilities && Object.values(report.vulnerabilities);
  } catch {
    return undefined;
  }
}
