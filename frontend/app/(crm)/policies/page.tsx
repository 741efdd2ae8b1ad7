'use client';

import { PolicyList } from '@/components/policies/PolicyList';

/** `/policies/`: the rules in force and the register of AI uses. */
export default function PoliciesPage() {
  return <PolicyList />;
}
