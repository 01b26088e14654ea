import { Button, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { signIn } from "./api/client";
import { ErrorNote } from "./ui/outcome";

/** Asks for a token and exchanges it for the session cookie. */
export function SignIn() {
  const [token, setToken] = useState("");
  const client = useQueryClient();
  const enter = useMutation({ mutationFn: signIn, onSuccess: () => client.clear() });
  return (
    <main className="wide main">
      <form
        className="card"
        style={{ maxWidth: "30rem", margin: "10vh auto 0" }}
        onSubmit={(event) => {
          event.preventDefault();
          enter.mutate(token.trim());
        }}
      >
        <Stack>
          <Title order={1} size="h3">
            Sign in to Trainyard
          </Title>
          <Text size="sm" c="dimmed">
            Paste a token of your project. <code>trainyard up</code> writes one on its first start and says where.
          </Text>
          <PasswordInput
            label="Token"
            required
            autoFocus
            autoComplete="off"
            value={token}
            onChange={(event) => setToken(event.currentTarget.value)}
          />
          {enter.error && <ErrorNote title="You are not signed in" error={enter.error} />}
          <Button type="submit" loading={enter.isPending}>
            Sign in
          </Button>
        </Stack>
      </form>
    </main>
  );
}
