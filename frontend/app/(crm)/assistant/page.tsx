'use client';

import { useSearchParams } from 'next/navigation';
import { Suspense } from 'react';
import { Assistant } from '@/components/assistant/Assistant';
import { Loading } from '@/components/ui/states';

/** `/assistant/?contact=`: a prompt, and what policy decides about it. */
export default function AssistantPage() {
  return (
    <Suspense fallback={<Loading />}>
      <AssistantForContact />
    </Suspense>
  );
}

function AssistantForContact() {
  const contact = useSearchParams().get('contact');
  return <Assistant key={contact} contactId={contact} />;
}
