use serde_json::{Value, json};

use super::*;

const SCENE: Scene<'_> = Scene { project: "acme", folder: "/base/acme" };

/// The refusals of one service `s` with these keys, as `code path`.
fn refused(service: Value, allowed: &[&str]) -> Vec<String> {
    let mut service = service;
    service["image"] = "x".into();
    told(&json!({"services": {"s": service}}), allowed)
}

fn told(file: &Value, allowed: &[&str]) -> Vec<String> {
    let policy = Policy::allowing(allowed.iter().copied()).expect("words");
    check(file, SCENE, &policy).iter().map(|refusal| format!("{} {}", refusal.code, refusal.path)).collect()
}

#[test]
fn what_reaches_for_the_host_is_refused_by_name_and_can_be_allowed() {
    let cases = [
        (json!({"privileged": true}), "privileged services.s.privileged", "privileged"),
        (json!({"network_mode": "host"}), "host-network services.s.network_mode", "host-network"),
        (json!({"network_mode": "container:x"}), "host-network services.s.network_mode", "host-network"),
        (json!({"network_mode": "bridge"}), "host-network services.s.network_mode", "host-network"),
        (json!({"pid": "host"}), "host-pid services.s.pid", "host-pid"),
        (json!({"ipc": "host"}), "host-ipc services.s.ipc", "host-ipc"),
        (json!({"uts": "host"}), "privileged services.s.uts", "privileged"),
        (json!({"userns_mode": "host"}), "privileged services.s.userns_mode", "privileged"),
        (json!({"cap_add": ["cap_net_admin"]}), "cap services.s.cap_add", "cap:NET_ADMIN"),
        (json!({"cap_add": ["SYS_ADMIN"]}), "cap services.s.cap_add", "cap:all"),
        (json!({"devices": ["/dev/sda:/dev/sda"]}), "devices services.s.devices", "devices"),
        (json!({"gpus": "all"}), "devices services.s.gpus", "devices"),
        (json!({"security_opt": ["seccomp:unconfined"]}), "unconfined services.s.security_opt", "unconfined"),
        (json!({"volumes": ["/etc:/etc:ro"]}), "bind services.s.volumes[0]", "bind:/etc"),
        (json!({"volumes": ["data:/d", "../other:/x"]}), "bind services.s.volumes[1]", "bind:/base/other"),
        (json!({"volumes": ["./a/../../other/x:/x"]}), "bind services.s.volumes[0]", "bind:/base/other"),
        (
            json!({"volumes": [{"type": "bind", "source": "/srv", "target": "/x"}]}),
            "bind services.s.volumes[0]",
            "bind:/srv",
        ),
        (json!({"volumes": ["/var/run/docker.sock:/s"]}), "docker-socket services.s.volumes[0]", "docker-socket"),
        (json!({"volumes": ["/run:/s"]}), "docker-socket services.s.volumes[0]", "docker-socket"),
        (json!({"volumes": ["/:/host"]}), "docker-socket services.s.volumes[0]", "docker-socket"),
        (json!({"use_api_socket": true}), "docker-socket services.s.use_api_socket", "docker-socket"),
        (json!({"env_file": "/etc/shadow"}), "files services.s.env_file", "files"),
        (json!({"env_file": ["../x/.env"]}), "files services.s.env_file[0]", "files"),
        (
            json!({"extends": {"file": "../x/docker-compose.yml", "service": "s"}}),
            "files services.s.extends.file",
            "files",
        ),
        (json!({"volumes_from": ["container:x"]}), "external services.s.volumes_from", "external"),
        (json!({"provider": {"type": "x"}}), "key services.s.provider", "key:provider"),
        (json!({"build": "."}), "key services.s.build", "key:build"),
        (json!({"cgroup_parent": "/x"}), "key services.s.cgroup_parent", "key:cgroup_parent"),
        (json!({"sysctls": {"kernel.x": 1}}), "key services.s.sysctls", "key:sysctls"),
        (json!({"post_start": [{"command": "x", "privileged": true}]}), "key services.s.post_start", "key:post_start"),
        (json!({"container_name": "other"}), "key services.s.container_name", "key:container_name"),
    ];
    for (service, expected, word) in cases {
        assert_eq!(refused(service.clone(), &[]), [expected], "{service}");
        assert_eq!(refused(service.clone(), &[word]), [""; 0], "{service} with {word}");
        assert_eq!(refused(service.clone(), &["bind:/nowhere", "cap:KILL"]), [expected], "{service} with others");
    }
}

#[test]
fn a_folder_that_is_allowed_does_not_bring_the_socket_with_it() {
    let service = json!({"volumes": ["/var/run:/x"]});
    assert_eq!(refused(service, &["bind:/var"]), ["docker-socket services.s.volumes[0]"]);
    assert_eq!(refused(json!({"volumes": ["/srv/a:/x"]}), &["bind:/srv"]), [""; 0]);
    assert_eq!(refused(json!({"volumes": ["/srvx:/x"]}), &["bind:/srv"]).len(), 1);
}

#[test]
fn nobody_gets_at_the_files_that_the_project_is_made_of() {
    for own in [".", "./", "./.env", ".env", "./docker-compose.yml", "./.skipper/last", "/base/acme", "/base"] {
        let mount = if own.starts_with('.') && !own.contains('/') && own.len() > 1 {
            format!("./{own}:/x")
        } else {
            format!("{own}:/x")
        };
        assert_eq!(refused(json!({"volumes": [mount]}), &["bind:/"]), ["own-files services.s.volumes[0]"], "{own}");
    }
    assert_eq!(refused(json!({"env_file": "./.env"}), &[]), ["own-files services.s.env_file"]);
    assert_eq!(refused(json!({"volumes": ["./data:/x", "/base/acme/data/y:/z"], "env_file": "app.env"}), &[]), [""; 0]);
}

#[test]
fn volumes_and_networks_are_the_projects_own() {
    let good = json!({
        "name": "acme", "version": "3.9", "x-any": 1, "services": {},
        "volumes": {"data": null, "more": {"name": "acme_more", "driver": "local"}},
        "networks": {"default": {"name": "acme_default", "ipam": {}}},
    });
    assert_eq!(told(&good, &[]), [""; 0]);
    let bad = json!({
        "name": "other", "include": ["../x.yml"],
        "volumes": {
            "a": {"external": true}, "b": {"name": "other_data"},
            "c": {"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}}, "d": {"driver": "sshfs"},
        },
        "networks": {"e": {"external": {"name": "other_default"}}, "f": {"driver": "host"}, "g": {"driver": "macvlan"}},
        "secrets": {"h": {"file": "/etc/shadow"}}, "configs": {"i": {"content": "x"}},
    });
    let expected = [
        "name name",
        "key include",
        "external volumes.a.external",
        "external volumes.b.name",
        "key volumes.c.driver_opts",
        "key volumes.d.driver",
        "external networks.e.external",
        "host-network networks.f.driver",
        "key networks.g.driver",
        "files secrets.h.file",
    ];
    assert_eq!(told(&bad, &[]), expected);
}

#[test]
fn what_services_usually_say_is_allowed() {
    let service = json!({
        "command": ["x"], "environment": {"A": "1"}, "ports": [{"target": 80, "published": "8080", "mode": "ingress"}],
        "volumes": [{"type": "volume", "source": "data", "target": "/data", "volume": {}}, "data:/d", "/anonymous"],
        "restart": "unless-stopped", "healthcheck": {"test": ["CMD", "x"]}, "networks": {"default": null}, "labels": {"a": "b"},
        "deploy": {"replicas": 2, "resources": {"limits": {"memory": "64M"}}, "placement": {}}, "security_opt": ["no-new-privileges"],
        "entrypoint": null, "privileged": false, "cap_drop": ["ALL"], "read_only": true, "ipc": "private", "network_mode": "service:a",
    });
    assert_eq!(refused(service, &[]), [""; 0]);
}

#[test]
fn refusals_say_what_would_allow_it_and_files_of_other_shapes_are_refused() {
    let policy = Policy::default();
    let refusals = check(&json!({"services": {"web": {"image": "x", "privileged": true}}}), SCENE, &policy);
    assert_eq!(
        refusals[0].to_string(),
        "services.web.privileged: takes away what divides it from the host (the platform would have to allow `privileged`)"
    );
    for odd in [json!(null), json!([]), json!("x"), json!({"services": []}), json!({"services": {"a": 1}})] {
        assert!(!check(&odd, SCENE, &policy).is_empty(), "{odd}");
    }
    for word in ["all", "bind:relative", "bind:/../x", "cap:", "key:", ""] {
        assert_eq!(Policy::allowing([word]).is_err(), !word.is_empty(), "{word}");
    }
}
