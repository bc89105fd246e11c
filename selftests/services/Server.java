// SPDX-License-Identifier: GPL-2.0

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * Starts programs all the time, by threads that each start the next one and end, and counts how many were
 * started in each round, and how many could not be. It is told so by lines on a connection:
 * "mark" begins a round, "count N" says how many there were in one, "stop" ends it all.
 */
public class Server {
	static final int THREADS = 4;
	static final AtomicLongArray made = new AtomicLongArray(64);
	static final AtomicLongArray refused = new AtomicLongArray(64);
	static final AtomicInteger running = new AtomicInteger();
	static volatile int round;
	static volatile boolean stopped;

	static void relay() {
		int began = round;
		try {
			new ProcessBuilder("/bin/true").start().waitFor();
			made.incrementAndGet(began);
		} catch (IOException e) {
			refused.incrementAndGet(began);
		} catch (InterruptedException e) {
			throw new RuntimeException(e);
		}
		if (stopped)
			running.decrementAndGet();
		else
			new Thread(Server::relay).start();
	}

	static String answer(String[] words) throws InterruptedException {
		switch (words[0]) {
		case "mark":
			return Integer.toString(++round);
		case "count":
			int n = Integer.parseInt(words[1]);
			return made.get(n) + " " + refused.get(n);
		case "stop":
			stopped = true;
			while (running.get() > 0)
				Thread.sleep(10);
			return "stopped";
		default:
			return "what?";
		}
	}

	static void serve(Socket socket) {
		try (socket; PrintStream out = new PrintStream(socket.getOutputStream(), true)) {
			BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
			for (String line; (line = in.readLine()) != null;)
				out.println(answer(line.split(" ")));
		} catch (IOException | InterruptedException e) {
			System.err.println(e);
		}
	}

	public static void main(String[] args) throws IOException {
		ServerSocket server = new ServerSocket(Integer.parseInt(args[0]), 10, InetAddress.getLoopbackAddress());
		for (int i = 0; i < THREADS; i++) {
			running.incrementAndGet();
			new Thread(Server::relay).start();
		}
		while (true) {
			Socket socket = server.accept();
			new Thread(() -> serve(socket)).start();
		}
	}
}
