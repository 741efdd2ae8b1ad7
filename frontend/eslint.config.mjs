import next from 'eslint-config-next/core-web-vitals';
import typescript from 'eslint-config-next/typescript';

const config = [
  { ignores: ['.next/', 'out/', 'node_modules/', 'next-env.d.ts', 'test-results/', 'playwright-report/'] },
  ...next,
  ...typescript,
  {
    rules: {
      // The page is served under `style-src 'self'`: an inline style in the exported HTML would be refused.
      'react/forbid-dom-props': ['error', { forbid: ['style'] }],
      'react/forbid-component-props': ['error', { forbid: ['style'] }],
      'react/no-danger': 'error',
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
];

export default config;
