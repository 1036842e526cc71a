import { Migration } from '@mikro-orm/migrations';

/** Leases of jobs, batches and responses in the background, which outlive the process that sent them. */
export class Migration0014JobLeases extends Migration {
  override name = 'migration-0014-job-leases';

  override up(): void {
    this.addSql(`
      -- A spool is the run of a process; for a job it is the job itself, whose calls any spool may report.
      alter table lease_spool add holder text not null default 'process' check (holder in ('process', 'job'));
    `);
  }
}
