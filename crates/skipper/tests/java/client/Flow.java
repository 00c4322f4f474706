import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.springframework.boot.web.client.RestTemplateBuilder;
import org.springframework.cloud.deployer.spi.app.AppStatus;
import org.springframework.cloud.skipper.ReleaseNotFoundException;
import org.springframework.cloud.skipper.client.DefaultSkipperClient;
import org.springframework.cloud.skipper.client.SkipperClient;
import org.springframework.cloud.skipper.client.SkipperClientConfiguration;
import org.springframework.cloud.skipper.domain.ActuatorPostRequest;
import org.springframework.cloud.skipper.domain.CancelRequest;
import org.springframework.cloud.skipper.domain.ConfigValues;
import org.springframework.cloud.skipper.domain.Info;
import org.springframework.cloud.skipper.domain.InstallProperties;
import org.springframework.cloud.skipper.domain.InstallRequest;
import org.springframework.cloud.skipper.domain.PackageIdentifier;
import org.springframework.cloud.skipper.domain.PackageMetadata;
import org.springframework.cloud.skipper.domain.Release;
import org.springframework.cloud.skipper.domain.RollbackRequest;
import org.springframework.cloud.skipper.domain.ScaleRequest;
import org.springframework.cloud.skipper.domain.StatusCode;
import org.springframework.cloud.skipper.domain.UpgradeProperties;
import org.springframework.cloud.skipper.domain.UpgradeRequest;
import org.springframework.cloud.skipper.domain.UploadRequest;
import org.springframework.http.converter.json.Jackson2ObjectMapperBuilder;

/**
 * Drives the original Java client through everything that it can do, against the server named by the first argument:
 *
 *     Flow URI FOLDER PORT
 *
 * FOLDER holds tiny-1.0.0.zip to tiny-1.0.2.zip; PORT is where the release is to be reached. Each step prints one line of JSON:
 * its name, and what the client's own types hold or the exception that it threw. Nothing is asserted here. Before r1 is deleted, a
 * line is awaited on standard input.
 */
public final class Flow {
    private static final ObjectMapper JSON = Jackson2ObjectMapperBuilder.json().build();
    private static final long LONGEST_MS = 60_000;

    private final SkipperClient client;
    private final Path folder;
    private final String port;

    private Flow(String uri, Path folder, String port) {
        SkipperClientConfiguration configuration = new SkipperClientConfiguration();
        this.client = new DefaultSkipperClient(
                uri, configuration.skipperClientRestTemplate(new RestTemplateBuilder(), JSON));
        this.folder = folder;
        this.port = port;
    }

    public static void main(String[] args) throws Exception {
        new Flow(args[0], Path.of(args[1]), args[2]).run();
    }

    private void run() throws Exception {
        step("about", () -> Map.of(
                "name", client.info().getVersionInfo().getServer().getName(),
                "version", client.info().getVersionInfo().getServer().getVersion()));
        step("platforms", () -> client.listDeployers().stream()
                .map(it -> row("name", it.getName(), "type", it.getType(), "description", it.getDescription()))
                .collect(Collectors.toList()));
        step("repositories", () -> client.listRepositories().stream()
                .map(it -> row("name", it.getName(), "local", it.isLocal(), "order", it.getRepoOrder()))
                .collect(Collectors.toList()));
        step("search-empty", () -> packages(client.search("tiny", false)));
        step("list-empty", () -> releases(client.list(null)));

        step("upload", () -> metadata(client.upload(upload("tiny", "1.0.0", "local", "tiny-1.0.0.zip"))));
        step("upload-twice", () -> metadata(client.upload(upload("tiny", "1.0.0", "local", "tiny-1.0.0.zip"))));
        step("upload-bad-version", () -> metadata(client.upload(upload("tiny", "abc", "local", "tiny-1.0.0.zip"))));
        step("upload-bad-name", () -> metadata(client.upload(upload("other", "1.0.0", "local", "tiny-1.0.0.zip"))));
        step("upload-nowhere", () -> metadata(client.upload(upload("tiny", "1.0.1", "nope", "tiny-1.0.1.zip"))));
        step("upload-1.0.1", () -> metadata(client.upload(upload("tiny", "1.0.1", "local", "tiny-1.0.1.zip"))));
        step("upload-1.0.2", () -> metadata(client.upload(upload("tiny", "1.0.2", "local", "tiny-1.0.2.zip"))));
        step("search", () -> packages(client.search("TIN", false)));
        step("search-details", () -> client.search("tiny", true).stream().map(this::metadata).collect(Collectors.toList()));
        step("search-all", () -> packages(client.search(null, false)));
        step("search-nothing", () -> packages(client.search("zzz", false)));

        step("install-unknown-package", () -> release(client.install(install("r0", "nope", "1.0.0", "default", null))));
        step("install-unknown-version", () -> release(client.install(install("r0", "tiny", "9.9.9", "default", null))));
        step("install-unknown-platform", () -> release(client.install(install("r0", "tiny", "1.0.0", "nowhere", null))));
        step("install", () -> release(client.install(install("r1", "tiny", "1.0.0", "default", properties("hi", "")))));
        step("install-twice", () -> release(client.install(install("r1", "tiny", "1.0.0", "default", null))));
        step("installed", () -> info(await("r1", null, it -> code(it) == StatusCode.DEPLOYED && runs(it))));
        step("status-of-version", () -> info(client.status("r1", 1)));
        step("status-unknown", () -> info(client.status("nope")));
        step("status-unknown-version", () -> info(client.status("r1", 77)));
        step("statuses", () -> client.statuses("r1", "nope").entrySet().stream()
                .collect(Collectors.toMap(Map.Entry::getKey, it -> info(it.getValue()))));
        step("states", () -> client.states("r1", "nope"));
        step("manifest", () -> row("text", client.manifest("r1")));
        step("manifest-of-version", () -> row("text", client.manifest("r1", 1)));
        step("manifest-unknown", () -> row("text", client.manifest("nope")));
        step("logs", () -> client.getLog("r1").getLogs());
        step("logs-of-deployment", () -> client.getLog("r1", "r1.tiny-v1").getLogs());
        step("logs-unknown", () -> client.getLog("nope").getLogs());
        step("list", () -> releases(client.list(null)));
        step("list-by-name", () -> releases(client.list("R1")));
        step("list-nothing", () -> releases(client.list("zzz")));
        step("history", () -> releases(client.history("r1")));
        step("actuator-unknown", () -> row("text", client.getFromActuator("r1", "other", "r1.tiny-v1-0", "/info")));
        step("actuator", () -> row("text", client.getFromActuator("r1", "r1.tiny-v1", "r1.tiny-v1-0", "/info")));
        step("actuator-post", () -> client.postToActuator("r1", "r1.tiny-v1", "r1.tiny-v1-0",
                ActuatorPostRequest.of("/bindings/input", Map.of("state", "STOPPED"))));

        step("upgrade", () -> release(client.upgrade(upgrade("r1", "1.0.1", properties("ho", "    tiny.start-delay: 1500\n")))));
        step("upgrade-busy", () -> release(client.upgrade(upgrade("r1", "1.0.2", null))));
        step("delete-busy", () -> {
            client.delete("r1", false);
            return null;
        });
        step("upgraded", () -> info(await("r1", 2, it -> code(it) == StatusCode.DEPLOYED)));
        step("superseded", () -> info(await("r1", 1, it -> code(it) == StatusCode.DELETED)));
        step("history-after-upgrade", () -> releases(client.history("r1")));
        step("upgrade-no-difference", () -> release(client.upgrade(
                upgrade("r1", "1.0.1", properties("ho", "    tiny.start-delay: 1500\n")))));
        step("upgrade-unknown", () -> release(client.upgrade(upgrade("nope", "1.0.1", null))));
        step("upgrade-unknown-package", () -> release(client.upgrade(upgrade("r1", "9.9.9", null))));
        step("upgrade-failing", () -> release(client.upgrade(
                upgrade("r1", "1.0.2", properties("ho", "    tiny.kill-delay: '0'\n    tiny.start-delay: '0'\n")))));
        step("upgrade-failed", () -> info(await("r1", 3, it -> code(it) == StatusCode.FAILED)));
        step("still-serving", () -> info(client.status("r1", 2)));

        step("rollback", () -> release(client.rollback(new RollbackRequest("r1", 1))));
        step("rolled-back", () -> info(await("r1", 4, it -> code(it) == StatusCode.DEPLOYED)));
        step("rollback-previous", () -> release(client.rollback(new RollbackRequest("r1", 0))));
        step("rolled-back-again", () -> info(await("r1", 5, it -> code(it) == StatusCode.DEPLOYED)));
        step("rollback-unknown-version", () -> release(client.rollback(new RollbackRequest("r1", 99))));
        step("scale", () -> release(client.scale("r1", ScaleRequest.of("tiny", 2))));
        step("scaled", () -> info(await("r1", 5, it -> runs(it) && instances(it) == 2)));
        step("scale-unknown", () -> release(client.scale("nope", ScaleRequest.of("tiny", 2))));
        step("cancel-nothing", () -> client.cancel(new CancelRequest("r1")).getAccepted());
        step("cancel-unknown", () -> client.cancel(new CancelRequest("nope")).getAccepted());
        step("upgrade-slow", () -> release(client.upgrade(
                upgrade("r1", "1.0.2", properties("ho", "    tiny.start-delay: '60000'\n")))));
        step("cancel", () -> client.cancel(new CancelRequest("r1")).getAccepted());
        step("cancelled", () -> info(await("r1", 6, it -> code(it) == StatusCode.FAILED)));
        step("list-after-cancel", () -> releases(client.list("r1")));

        step("package-delete-in-use", () -> {
            client.packageDelete("tiny");
            return null;
        });
        // Whoever uses the release stops before it goes, and says so.
        System.in.read();
        step("delete", () -> {
            client.delete("r1", false);
            return null;
        });
        step("deleted", () -> releases(client.history("r1")));
        step("delete-unknown", () -> {
            client.delete("nope", false);
            return null;
        });
        step("rollback-of-deleted", () -> release(client.rollback(new RollbackRequest("r1", 1))));
        step("back-again", () -> info(await("r1", 7, it -> code(it) == StatusCode.DEPLOYED && runs(it))));
        step("delete-again", () -> {
            client.delete("r1", false);
            return null;
        });
        step("status-of-deleted", () -> info(client.status("r1")));
        step("install-r2", () -> release(client.install(install("r2", "tiny", null, "default", null))));
        step("installed-r2", () -> info(await("r2", null, it -> code(it) == StatusCode.DEPLOYED && runs(it))));
        step("delete-with-package", () -> {
            client.delete("r2", true);
            return null;
        });
        step("search-after-package-delete", () -> packages(client.search("tiny", false)));
        step("upload-again", () -> metadata(client.upload(upload("tiny", "1.0.0", "local", "tiny-1.0.0.zip"))));
        step("package-delete", () -> {
            client.packageDelete("tiny");
            return null;
        });
        step("package-delete-unknown", () -> {
            client.packageDelete("nope");
            return null;
        });
        step("search-at-the-end", () -> packages(client.search(null, false)));
    }

    private static void step(String name, Callable<Object> action) throws Exception {
        Map<String, Object> line = row("step", name);
        try {
            line.put("result", action.call());
        } catch (Exception thrown) {
            line.put("exception", thrown.getClass().getName());
            line.put("message", thrown.getMessage());
            if (thrown instanceof ReleaseNotFoundException) {
                line.put("release", ((ReleaseNotFoundException) thrown).getReleaseName());
            }
        }
        System.out.println(JSON.writeValueAsString(line));
        System.out.flush();
    }

    /** The latest release's status, or that of one version, once it is as wanted; whatever it is when the time is up. */
    private Info await(String release, Integer version, Predicate<Info> wanted) throws InterruptedException {
        long end = System.currentTimeMillis() + LONGEST_MS;
        while (true) {
            Info info = version == null ? client.status(release) : client.status(release, version);
            if (wanted.test(info) || System.currentTimeMillis() > end) {
                return info;
            }
            Thread.sleep(50);
        }
    }

    private static StatusCode code(Info info) {
        return info.getStatus().getStatusCode();
    }

    private static List<AppStatus> apps(Info info) {
        return info.getStatus().getPlatformStatus() == null ? List.of() : info.getStatus().getAppStatusList();
    }

    private static boolean runs(Info info) {
        return !apps(info).isEmpty() && apps(info).stream().allMatch(it -> it.getState().name().equals("deployed"));
    }

    private static int instances(Info info) {
        return apps(info).stream().mapToInt(it -> it.getInstances().size()).sum();
    }

    private UploadRequest upload(String name, String version, String repository, String file) throws Exception {
        UploadRequest request = new UploadRequest();
        request.setName(name);
        request.setVersion(version);
        request.setRepoName(repository);
        request.setExtension("zip");
        request.setPackageFileAsBytes(Files.readAllBytes(folder.resolve(file)));
        return request;
    }

    private static InstallRequest install(
            String release, String name, String version, String platform, String values) {
        InstallProperties properties = new InstallProperties();
        properties.setReleaseName(release);
        properties.setPlatformName(platform);
        properties.setConfigValues(values(values));
        InstallRequest request = new InstallRequest();
        request.setPackageIdentifier(identifier(name, version, "local"));
        request.setInstallProperties(properties);
        return request;
    }

    private static UpgradeRequest upgrade(String release, String version, String values) {
        UpgradeProperties properties = new UpgradeProperties();
        properties.setReleaseName(release);
        properties.setConfigValues(values(values));
        UpgradeRequest request = new UpgradeRequest();
        request.setPackageIdentifier(identifier("tiny", version, null));
        request.setUpgradeProperties(properties);
        return request;
    }

    private static PackageIdentifier identifier(String name, String version, String repository) {
        PackageIdentifier identifier = new PackageIdentifier();
        identifier.setPackageName(name);
        identifier.setPackageVersion(version);
        identifier.setRepositoryName(repository);
        return identifier;
    }

    private static ConfigValues values(String raw) {
        ConfigValues values = new ConfigValues();
        values.setRaw(raw);
        return values;
    }

    private String properties(String greeting, String more) {
        return "spec:\n  applicationProperties:\n    server.port: '" + port + "'\n    tiny.greeting: " + greeting + "\n" + more;
    }

    private Object metadata(PackageMetadata it) {
        return row("apiVersion", it.getApiVersion(), "kind", it.getKind(), "name", it.getName(), "version", it.getVersion(),
                "repository", it.getRepositoryName(), "tags", it.getTags(), "description", it.getDescription(),
                "maintainer", it.getMaintainer(), "source", it.getPackageSourceUrl(), "home", it.getPackageHomeUrl());
    }

    private static Object packages(Collection<PackageMetadata> all) {
        return all.stream().map(it -> it.getName() + " " + it.getVersion() + " " + it.getRepositoryName())
                .collect(Collectors.toList());
    }

    private static Object releases(Collection<Release> all) {
        return all.stream().map(it -> row("name", it.getName(), "version", it.getVersion(),
                "status", code(it.getInfo()), "description", it.getInfo().getDescription(),
                "package", it.getPkg().getMetadata().getName() + " " + it.getPkg().getMetadata().getVersion()))
                .collect(Collectors.toList());
    }

    private static Object release(Release it) {
        return row("name", it.getName(), "version", it.getVersion(), "status", code(it.getInfo()),
                "description", it.getInfo().getDescription(), "platform", it.getPlatformName(),
                "package", it.getPkg().getMetadata().getName() + " " + it.getPkg().getMetadata().getVersion(),
                "templates", it.getPkg().getTemplates().size(), "values", it.getConfigValues().getRaw(),
                "manifest", it.getManifest().getData(), "deployed", it.getInfo().getFirstDeployed() != null);
    }

    private static Object info(Info it) {
        return row("status", code(it), "description", it.getDescription(),
                "deployed", it.getFirstDeployed() != null && it.getLastDeployed() != null, "deleted", it.getDeleted(),
                "apps", apps(it).stream().map(app -> row("id", app.getDeploymentId(), "state", app.getState(),
                        "instances", app.getInstances().values().stream()
                                .map(one -> row("id", one.getId(), "state", one.getState(), "attributes", one.getAttributes()))
                                .collect(Collectors.toList()))).collect(Collectors.toList()));
    }

    /** A row of keys and values in that order; values may be null. */
    private static Map<String, Object> row(Object... parts) {
        Map<String, Object> row = new LinkedHashMap<>();
        for (int i = 0; i < parts.length; i += 2) {
            row.put((String) parts[i], parts[i + 1]);
        }
        return row;
    }
}
