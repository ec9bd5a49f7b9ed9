import { Command } from 'commander';

/** `subvocab verify`: compare the two twins of every operator on this machine. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('Compare the reference and the kernel of every operator, or of those named, on this machine')
    .argument('[op...]', 'operators, such as cummax; default: all')
    .option('--adapter <substring>', 'choose the adapter whose name contains this (also: SUBVOCAB_ADAPTER)')
    .option('--json', 'print the report as JSON instead of a table')
    .option('--report <file>', 'write the report as JSON to a file')
    .option('--html <file>', 'write the report as one self-contained page')
    .option('--plot <file>', 'write the plot of achieved against roof as SVG')
    .option(
      '--text <file...>',
      'also train SUBVOCAB on these texts for 15 seconds and compare it; of several, the last is another domain',
    )
    .action(async (ops, options) => {
      const { verify } = await import('./actions/verify.ts');
      await verify(ops, options);
    });
}
