'use client';

import { Suspense } from 'react';
import { ContactList } from '@/components/contacts/ContactList';
import { Loading } from '@/components/ui/states';

/** `/contacts/?q=&sort=&after=`: the contacts this person may see. */
export default function ContactsPage() {
  return (
    <Suspense fallback={<Loading />}>
      <ContactList />
    </Suspense>
  );
}
