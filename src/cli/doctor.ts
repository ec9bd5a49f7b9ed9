import { Command } from 'commander';

/** `subvocab doctor`: what was found on this machine, what is used and why, and what would be faster. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('Show the adapters of this machine, which one is used and why, and what would be faster')
    .option('--adapter <substring>', 'choose the adapter whose name contains this (also: SUBVOCAB_ADAPTER)')
    .option('--json', 'print JSON')
    .action(async (options) => {
      const { doctor } = await import('./actions/doctor.ts');
      await doctor(options);
    });
}
