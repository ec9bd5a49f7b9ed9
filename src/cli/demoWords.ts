import { Command, Option } from 'commander';

/** `subvocab demo 100m`: what the package is for, at full size. */
export function demoWordsCommand(): Command {
  return new Command('100m')
    .description('Build an index of 10^8 made-up words on disk, search it, and compare with exact search')
    .option('--words <n>', 'how many words', '100000000')
    .option('--dimensions <n>', 'elements of an embedding', '64')
    .option('--queries <n>', 'queries to compare with exact search', '32')
    .option('--k <n>', 'words per query', '8192')
    .option('--lists <n>', 'lists of the index; default: about 20 sqrt(words), a power of two')
    .option('--seed <n>', 'decides the words', '1')
    .addOption(
      new Option('--noise <kind>', 'how words lie in their cluster; isotropic is the hard case')
        .choices(['spectrum', 'isotropic'])
        .default('spectrum'),
    )
    .option('--threads <n>', 'threads of the build and of the search', '2')
    .option(
      '--dir <folder>',
      'where the index goes; one of the same words that is there is used, and left (default: a temporary folder)',
    )
    .option('--until <recall>', 'stop the sweep at this mean recall', '1')
    .option('--keep', 'leave the index that was built')
    .option('--json', 'print the figures as JSON')
    .action(async (options) => {
      const { demoWords } = await import('./actions/demoWords.ts');
      await demoWords(options);
    });
}
